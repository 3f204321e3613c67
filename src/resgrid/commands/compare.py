"""Command `compare`: compare two versions of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from resgrid.commands.repository import user_path
from resgrid.terminal import console

_CHANGES_IN_TERMINAL = 12


def compare(
    a: Annotated[str, typer.Argument(help="Commit, DVC experiment or folder.")] = "HEAD",
    b: Annotated[str, typer.Argument(help="The other, which A is subtracted from.")] = ".",
    into: Annotated[Path, typer.Option(help="Folder of the page and the Markdown file.")] = Path("reports/comparison"),
) -> None:
    """Compare two versions of an experiment, seed by seed.

    Print differences of errors with confidence intervals, and verdicts, parameters and code that differ.

    \b
    Examples:
      resgrid compare                     HEAD and this folder
      resgrid compare main my-branch
      resgrid compare HEAD blunt-gems     a DVC experiment
      resgrid compare ../other-copy .
    """
    from resgrid.artifacts.files import write_atomically
    from resgrid.reporting.comparison import compare as compare_versions
    from resgrid.reporting.comparison_page import render_comparison_markdown, render_comparison_page
    from resgrid.reporting.formatting import estimate, percent
    from resgrid.reporting.versions import read_version

    before, after = (read_version(name, user_path(name)) for name in (a, b))
    comparison = compare_versions(before, after)
    console.print(comparison.sentence)
    if comparison.same_data is False:
        console.print("The data differ, so the test errors are those of other images.", style="yellow")
    errors = Table("network", "n", "test before (%)", "test after (%)", "difference", "p", "result")
    for network in comparison.networks:
        test = network.differences["test_error"]
        errors.add_row(
            *(network.network, str(network.n)),
            *(percent(version["test_error"]) for version in (network.before, network.after)),
            estimate(test.mean, test.interval, "points"),
            "" if network.p is None else f"{network.p:.3f}",
            network.outcome,
        )
    console.print(errors)
    for title, changes in (("verdict", comparison.verdicts), ("parameter", comparison.parameters)):
        table = Table(title, "before", "after")
        for change in changes[:_CHANGES_IN_TERMINAL]:
            table.add_row(
                change.name, *(" – " if each is None else str(each) for each in (change.before, change.after))
            )
        if changes:
            console.print(table)
    differing = [*comparison.code, *(change.name for change in comparison.packages)]
    if differing:
        more = len(differing) - _CHANGES_IN_TERMINAL
        listed = ", ".join(differing[:_CHANGES_IN_TERMINAL]) + (f" and {more} more" if more > 0 else "")
        console.print(f"code and packages that differ: {listed}")
    write_atomically(into / "index.html", render_comparison_page(comparison).encode())
    write_atomically(into / "comparison.md", render_comparison_markdown(comparison).encode())
    console.print(f"all differences: {into / 'index.html'}, {into / 'comparison.md'}")
