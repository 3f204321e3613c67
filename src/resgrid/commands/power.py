"""Command `power`: print what numbers of seeds can detect, and what they cost, before they are spent."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from resgrid.terminal import console


def power(
    seeds: Annotated[list[int] | None, typer.Option(help="Numbers of seeds.  [default: 3 5 10 20]", min=2)] = None,
    comparisons: Annotated[int, typer.Option(help="Comparisons that are adjusted for each other.", min=1)] = 1,
    deviation: Annotated[
        float | None,
        typer.Option(help="Standard deviation of one network's test error over seeds.  [default: this grid's]", min=0),
    ] = None,
    runs: Annotated[int, typer.Option(help="Runs that --deviation was computed from.", min=2)] = 6,
) -> None:
    """Print what numbers of seeds can detect, and cost.

    Differences are in points of test error, at 80% power, with the 95% confidence interval that comes from the spread.
    The spread is pooled over the grid's networks at hand. Without results, give a deviation: 0.54 is that of 6 runs of
    ResNet-56 on CIFAR-10 (github.com/akamaster/pytorch_resnet_cifar10/issues/18).

    \b
    Examples:
      resgrid power
      resgrid power --seeds 5 --seeds 10 --comparisons 3
      resgrid power --deviation 0.54 --runs 6
    """
    import math

    from resgrid.config.reading import load_params
    from resgrid.config.report import ReportParams
    from resgrid.reporting.planning import Detectable, Spread, detectable, provable_margin, read_progress

    networks = load_params(ReportParams).grid.network
    progress = read_progress(load_params(ReportParams).grid.cells)
    spread = progress.spread if deviation is None else Spread(math.sqrt(2) * deviation, runs - 1)
    if spread is None:
        raise ValueError(
            "power: the grid has no two networks with two common seeds; run some cells, or give --deviation"
        )

    def shown(lowest: Detectable) -> str:
        return f"{lowest.difference:.2f} ({lowest.interval[0]:.2f} to {lowest.interval[1]:.2f})"

    table = Table("seeds", "detectable difference", "provable margin", "trainings", "device hours")
    for n in seeds or (3, 5, 10, 20):
        trainings = n * len(networks)
        hours = "unknown" if progress.hours is None else f"{trainings * progress.hours:.2f}"
        found, margin = detectable(n, spread, comparisons), provable_margin(n, spread)
        table.add_row(str(n), shown(found), shown(margin), f"{trainings:,}", hours)
    console.print(table)
    low, high = spread.interval
    console.print(
        f"standard deviation of a difference: {spread.deviation:.2f} points "
        f"(95% confidence interval {low:.2f} to {high:.2f}; {spread.freedom} degrees of freedom)",
        markup=False,
    )
