"""Convergence of trainings: whether a cell started to learn, and whether its training error is flat at the end.

The paper compares networks that converged, to errors that three times the steps did not improve (section 4.2). So a
verdict needs networks whose every seed converged by these two rules. Both were chosen after the first results, on
digits and CIFAR-10 (JPEG), had been seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from resgrid.reporting.formatting import number
from resgrid.reporting.results import CellResult, NetworkResult

# Training error of a network that has started, relative to guessing. The paper warms up until the training error is
# below 80% (section 4.2), where guessing one of ten classes gives 90%.
STARTED = 80 / 90

# The training error is flat if it falls, over the last quarter of the steps, by at most 2 points or a fifth of itself.
# The curve's errors are those of augmented batches: on digits, 2 points are the noise of one validation interval.
FLAT_POINTS = 2.0
FLAT_SHARE = 0.2

_LAST_PART = 0.25  # of the steps
_FEWEST_VALIDATIONS = 3


@dataclass(frozen=True)
class Convergence:
    """How one cell's training ended.

    Attributes:
        train_error: of the final weights, in percent.
        guessing: error of always answering the most frequent class of the test images, in percent.
        change: fitted change of the curve's training error over the last quarter of the steps, in points; None with too
            few validations to fit a line.
        allowed: the largest fall that counts as flat, in points.
    """

    cell: CellResult
    train_error: float
    guessing: float
    change: float | None
    allowed: float

    @property
    def started(self) -> bool:
        """Whether the training error is clearly below guessing."""
        return self.train_error < STARTED * self.guessing

    @property
    def flat(self) -> bool:
        """Whether the training error is flat at the end."""
        return self.change is not None and -self.change <= self.allowed

    @property
    def problem(self) -> str:
        """Why the cell did not converge, as a phrase; empty if it converged."""
        if not self.started:
            return f"training error {self.train_error:.2f}%, where guessing gives {self.guessing:.2f}%"
        if self.change is None:
            return "too few validations to judge the end of training"
        return "" if self.flat else f"training error still changes by {number(self.change, 'points')} points at the end"


def convergence(cell: CellResult) -> Convergence:
    """Judge how a cell's training ended."""
    change, last = _last_change(cell.curve)
    allowed = max(FLAT_POINTS, FLAT_SHARE * last)
    return Convergence(cell, cell.train.train_error, _guessing_error(cell), change, allowed)


def has_converged(network: NetworkResult) -> bool:
    """Return whether every seed of a network converged."""
    return not any(convergence(cell).problem for cell in network.cells)


def describe_problems(network: NetworkResult) -> str:
    """Return the seeds of a network that did not converge, with the reasons, such as `plain56 (seed 0: …)`."""
    problems = {cell.cell.seed: convergence(cell).problem for cell in network.cells}
    reasons = [f"seed {seed}: {problem}" for seed, problem in problems.items() if problem]
    return f"{network.name} ({'; '.join(reasons)})"


def _guessing_error(cell: CellResult) -> float:
    images = cell.confusion.sum(axis=1)
    return 100.0 * (1.0 - float(images.max()) / float(images.sum()))


def _last_change(curve: pd.DataFrame) -> tuple[float | None, float]:
    """Fit a line to the training error over the last quarter of the steps, at least three validations.

    Returns:
        The fitted change over a quarter of the steps, None with fewer validations; and the mean error there.
    """
    steps, errors = curve["step"].to_numpy(dtype=float), curve["train/error"].to_numpy(dtype=float)
    quarter = _LAST_PART * steps[-1]
    count = max(_FEWEST_VALIDATIONS, int((steps > steps[-1] - quarter).sum()))
    last = float(np.mean(errors[-count:]))
    if len(steps) < _FEWEST_VALIDATIONS:
        return None, last
    centered = steps[-count:] - steps[-count:].mean()
    slope = centered @ errors[-count:] / (centered @ centered)  # least squares
    return float(slope * quarter), last
