"""Command `verify`: compare this machine's results with the committed results."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Annotated

import typer
from rich.table import Table

from resgrid.terminal import console


def verify(
    commit: Annotated[str, typer.Option(help="Commit to compare with.")] = "HEAD",
    tolerance: Annotated[float, typer.Option(help="Allowed difference of an error, in percentage points.", min=0)] = 1,
) -> None:
    """Compare this machine's results with the committed ones.

    For each stage, print whether its outputs have the same bytes, or else errors within the tolerance. The exit status
    is 1 if a stage differs or is missing.

    \b
    Examples:
      resgrid verify
      resgrid verify --commit v1.0 --tolerance 0.5
    """
    from resgrid.verify import compare_with_commit, trainings_carried_over

    comparisons = compare_with_commit(commit, tolerance)
    table = Table("stage", "verdict", "outputs with other bytes", "largest change of an error")
    for comparison in comparisons:
        change = "" if comparison.largest_change is None else f"{comparison.largest_change:.2f} points"
        table.add_row(comparison.stage, comparison.verdict, "\n".join(comparison.differing), change)
    console.print(table)
    for cell, words in trainings_carried_over(comparisons).items():
        console.print(f"{cell}: {words}", markup=False)
    counts = Counter(comparison.verdict for comparison in comparisons)
    console.print(f"compared with {commit}: " + ", ".join(f"{count} × {verdict}" for verdict, count in counts.items()))
    sys.exit(1 if counts["different"] or counts["missing"] else 0)
