"""How soon each network reaches an error, in steps and in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from resgrid.reporting.results import CellResult, NetworkResult, Results
from resgrid.reporting.statistics import Sample

TARGETS = (50.0, 20.0, 10.0, 5.0)  # validation errors, in percent


@dataclass(frozen=True)
class TimeToError:
    """The time in which every seed of a network reaches a validation error.

    Attributes:
        target: validation error, in percent.
        steps: at the first validation with at most this error, by seed.
        seconds: the same share of the training's wall time, by seed; None if a seed has no run record.
    """

    target: float
    steps: Sample
    seconds: Sample | None


def times_to_errors(results: Results) -> dict[str, list[TimeToError | None]]:
    """Return a time for each of `TARGETS`, by network; None if a seed never reaches it."""
    return {network.name: [_time(network, target) for target in TARGETS] for network in results.by_depth}


def _time(network: NetworkResult, target: float) -> TimeToError | None:
    steps = [step for cell in network.cells if (step := _first_step(cell, target)) is not None]
    if len(steps) < len(network.cells):
        return None
    seconds = [
        step / cell.train.steps * cell.record.train.seconds
        for step, cell in zip(steps, network.cells, strict=True)
        if cell.record is not None and cell.record.train is not None
    ]
    return TimeToError(target, Sample(tuple(steps)), Sample(tuple(seconds)) if len(seconds) == len(steps) else None)


def _first_step(cell: CellResult, target: float) -> float | None:
    reached = cell.curve.loc[cell.curve["val/error"] <= target, "step"]
    return None if reached.empty else float(reached.iloc[0])
