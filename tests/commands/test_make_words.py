"""Words of make's command line become options."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer

from resgrid.commands.make_words import as_options


def command(
    names: Annotated[list[str] | None, typer.Argument()] = None,
    seeds: Annotated[list[int] | None, typer.Option()] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "--dry")] = False,
    form: Annotated[str, typer.Option("--format")] = "onnx",
) -> None:
    """Do nothing."""


app = typer.Typer(add_completion=False)
app.command()(command)
PARAMETERS = typer.main.get_command(app).params


@pytest.mark.parametrize(
    ("word", "options"),
    [
        ("FORMAT=a b", ["--format", "a b"]),
        ("FORMAT=a=b", ["--format", "a=b"]),
        ("FORMAT=", []),
        ("SEEDS=0 1", ["--seeds", "0", "--seeds", "1"]),
        ("NAMES=resnet8-A plain8", ["resnet8-A", "plain8"]),
        ("DRY_RUN=1", ["--dry-run"]),
        ("DRY=yes", ["--dry"]),
        ("DRY=TRUE", ["--dry"]),
        ("DRY=0", []),
        ("DRY=", []),
        ("format=x", ["format=x"]),
        ("--format=X=1", ["--format=X=1"]),
    ],
)
def test_a_word_becomes_options(word: str, options: list[str]) -> None:
    assert as_options([word], PARAMETERS) == options


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("FORM=x", "FORM: 'x': unknown option; use NAMES, SEEDS, DRY_RUN, DRY, FORMAT"),
        ("DRY=maybe", "DRY: 'maybe': not a switch's value; use 1, yes, true, 0, no, false"),
    ],
)
def test_a_word_that_means_nothing_is_refused(word: str, message: str) -> None:
    with pytest.raises(ValueError, match="use") as refused:
        as_options([word], PARAMETERS)
    assert str(refused.value) == message
