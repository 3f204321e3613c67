"""Command: compare this machine's results with the committed ones."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Annotated

import typer
from rich.table import Table

from resgrid.terminal import console, run_command
from resgrid.verify import compare_with_commit


def verify(
    commit: Annotated[str, typer.Option(help="The commit whose dvc.lock and metrics are compared with.")] = "HEAD",
    tolerance: Annotated[float, typer.Option(help="Percentage points by which an error may differ.", min=0)] = 1.0,
) -> None:
    """Say which stages have the committed lock's very bytes, which agree in their metrics, and which don't.

    The exit status is 1 if a stage differs or is missing.
    """
    comparisons = compare_with_commit(commit, tolerance)
    table = Table("stage", "verdict", "outs that differ in bytes", "largest change of an error")
    for comparison in comparisons:
        change = "" if comparison.largest_change is None else f"{comparison.largest_change:.2f} points"
        table.add_row(comparison.stage, comparison.verdict, "\n".join(comparison.differing), change)
    console.print(table)
    counts = Counter(comparison.verdict for comparison in comparisons)
    console.print(f"against {commit}: " + ", ".join(f"{count} × {verdict}" for verdict, count in counts.items()))
    sys.exit(1 if counts["different"] or counts["missing"] else 0)


if __name__ == "__main__":
    run_command(verify)
