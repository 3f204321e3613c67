"""Command `accept`: keep results that are stale by code or packages alone, if a replay finds the same bits."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def accept(
    select: Annotated[
        list[str] | None, typer.Option(help="Cells or networks, with * and ?, such as resnet*-A; repeatable.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be replayed.")] = False,
) -> None:
    """Keep results that changed code repeats bit for bit.

    Replays the traced steps of each cell that is stale by code or packages alone, and evaluates it again. If all bits
    are the same, the cell's entries of dvc.lock are updated, and runs/<cell>/accepted.json says what was compared. Else
    the first difference is printed, the cell stays stale, and the exit status is 1.

    \b
    Examples:
      resgrid accept
      resgrid accept --select 'resnet*-A' --dry-run
    """
    from resgrid.acceptance.accept import accept as accept_cells
    from resgrid.commands.run import refresh_manifests
    from resgrid.config.whole import load_config

    config = load_config()
    refresh_manifests(config.grid)
    sys.exit(accept_cells(config, select or [], dry_run))
