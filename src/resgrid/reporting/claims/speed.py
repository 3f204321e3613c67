"""Claims about the speed of convergence."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resgrid.reporting.claims.claim import Finding, not_tested
from resgrid.reporting.claims.groups import ComparisonGroup
from resgrid.reporting.claims.shortcuts import SHALLOW_PAIR, shallow_pair
from resgrid.reporting.contrasts import Comparisons, compare_ratio
from resgrid.reporting.results import CellResult

# Convergence is timed to 1.5 times the validation error that every run reaches before the learning rate first drops:
# high enough that the noise of single validations doesn't decide. After short runs the target is halfway between that
# error and guessing, if that is lower.
EARLY_TARGET = 1.5


def shallow_faster(group: ComparisonGroup) -> list[Finding]:
    """A shallow residual network converges faster than its plain counterpart at the early stage.

    Compares the steps to one validation error for all runs; see `EARLY_TARGET`. Not tested if a run is no better than
    guessing before the learning rate drops.
    """
    pair = shallow_pair(group)
    if pair is None:
        return not_tested(SHALLOW_PAIR)
    target = _target([*pair.plain.cells, *pair.residual.cells])
    if target is None:
        return not_tested("runs of the pair that are better than guessing before the learning rate drops")
    quantity = f"number of steps to a validation error of {target:.2f}%"
    test = Comparisons.adjusted(
        [compare_ratio(pair.plain, pair.residual, lambda cell: steps_to(cell.curve, target), quantity)]
    )
    answer, decisive = test.judge("down")
    sentence = test.not_significant(decisive[0]) if answer == "inconclusive" else f"{decisive[0].change}."
    return [Finding(answer, sentence, test.evidence)]


def _target(cells: list[CellResult]) -> float | None:
    """Return the validation error to time, in percent; None if a run is no better than guessing."""
    reached = max(float(_errors_before_the_rate_drops(cell.curve).min()) for cell in cells)
    guessing = 100.0 * (1.0 - 1.0 / len(cells[0].confusion))
    return None if reached >= guessing else min(EARLY_TARGET * reached, (reached + guessing) / 2.0)


def _errors_before_the_rate_drops(curve: pd.DataFrame) -> NDArray[np.float64]:
    """Return validation errors before the learning rate first falls; a warm-up is a rise."""
    rates = curve["lr"].to_numpy(dtype=float)
    falls = np.flatnonzero(np.diff(rates) < 0)
    return curve["val/error"].to_numpy(dtype=float)[: falls[0] + 1 if falls.size else None]


def steps_to(curve: pd.DataFrame, target: float) -> float:
    """Return the steps until the validation error first is at or below `target`, in percent.

    Interpolates linearly between two validations; returns the first validation's step if it reaches the target.

    Raises:
        ValueError: the curve never reaches the target.
    """
    steps, errors = curve["step"].to_numpy(dtype=float), curve["val/error"].to_numpy(dtype=float)
    reached = np.flatnonzero(errors <= target)
    if not reached.size:
        raise ValueError(f"target: {target}: the lowest validation error is {errors.min()}; use a higher target")
    index = int(reached[0])
    if index == 0:
        return float(steps[0])
    before, after = errors[index - 1], errors[index]
    return float(steps[index - 1] + (steps[index] - steps[index - 1]) * (before - target) / (before - after))
