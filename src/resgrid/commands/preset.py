"""Command: put a preset in place of params.yaml, or check params.yaml, and say what will be run."""

from __future__ import annotations

from typing import Annotated

import typer

from resgrid.config.whole import load_config
from resgrid.presets import EditsInTheWayError, apply_preset
from resgrid.terminal import console, run_command


def preset(
    name: Annotated[
        str | None, typer.Argument(help="A file of presets/ without .yaml; none: keep params.yaml.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Set an edited params.yaml aside as a .bak file.")] = False,
) -> None:
    """Check params.yaml, after replacing it by a preset if one is named. Edits are never overwritten unasked."""
    if name is not None:
        try:
            apply_preset(name, replace)
        except EditsInTheWayError as refusal:
            if not (console.is_terminal and typer.confirm(f"{refusal}\nPut the edits aside and go on?")):
                raise
            apply_preset(name, replace=True)
    config = load_config()
    cells, train = config.grid.cells, config.train
    console.print(
        f"{config.preset}: {config.data.name}, {len(config.grid.network)} networks × {len(config.grid.seed)} seeds = "
        f"{len(cells)} cells of {train.max_steps:,} steps of {train.batch_size} images"
    )


if __name__ == "__main__":
    run_command(preset)
