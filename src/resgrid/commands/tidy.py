"""Command `tidy`: delete runs from MLflow that no result needs."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from resgrid.terminal import console


def tidy(yes: Annotated[bool, typer.Option("--yes", help="Delete without a question.")] = False) -> None:
    """List and delete MLflow runs that no result needs.

    These are superseded, failed and orphaned runs, with their artifacts. The command asks first. It never
    deletes a run on which a present result or a registered model rests.

    \b
    Examples:
      resgrid tidy
      resgrid tidy --yes
    """
    from resgrid.tracking.tidy import delete, find_needless

    needless = find_needless()
    for run, reason in needless:
        console.print(f"{run.info.run_name} ({run.info.run_id}): {reason}", markup=False, soft_wrap=True)
    counts = ", ".join(f"{count} {reason}" for reason, count in Counter(each.reason for each in needless).items())
    if not needless:
        console.print("no run is needless")
    elif yes or (console.is_terminal and typer.confirm(f"Delete {len(needless)} runs ({counts})?")):
        delete(needless)
        console.print(f"deleted: {counts}")
    else:
        console.print(f"nothing is deleted ({counts}); delete them with `resgrid tidy --yes`")
