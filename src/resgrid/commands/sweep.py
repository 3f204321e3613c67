"""Command: run the stale cells of the graph side by side on Ray Tune, and record them as `dvc repro` would."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from resgrid.config.whole import load_config
from resgrid.terminal import run_command


def sweep(
    select: Annotated[
        list[str] | None, typer.Option(help="Cells or networks, such as 'resnet*-A'; may be given several times.")
    ] = None,
    seeds: Annotated[list[int] | None, typer.Option(help="Seeds; may be given several times.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also run cells that are up to date.")] = False,
    address: Annotated[
        str | None, typer.Option(help="Ray's address, instead of params.yaml's sweep.address: local, auto, host:port.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, and change nothing.")] = False,
) -> None:
    """Train and evaluate the stale cells side by side, as params.yaml's section `sweep` says.

    Ctrl-C once: start no more cells, have the running ones save a checkpoint, keep what is done. Twice: stop at once.
    """
    config = load_config(changes={"sweep.address": address} if address else {})
    from resgrid.sweep.run import run_sweep

    sys.exit(run_sweep(config, select or [], seeds or None, force, dry_run))


if __name__ == "__main__":
    run_command(sweep)
