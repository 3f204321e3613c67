"""Convergence of networks: whether every seed started to learn, and whether the training error is flat at the end.

The paper compares networks that converged, to errors that three times the steps did not improve (section 4.2). So a
verdict needs networks that converged by these two rules, which were chosen after the first results had been seen; see
docs/evidence.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np

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
    """How the training of one network ended.

    Attributes:
        guessing: error of always answering the most frequent class of the test images, in percent.
        change: fitted change of the curve's training error, averaged over the seeds, over the last quarter of the
            steps, in points; None with too few validations to fit a line.
        allowed: the largest fall that counts as flat, in points.
    """

    network: NetworkResult
    guessing: float
    change: float | None
    allowed: float

    @property
    def not_started(self) -> list[CellResult]:
        """The seeds whose training error is not clearly below guessing."""
        return [cell for cell in self.network.cells if cell.train.train_error >= STARTED * self.guessing]

    @property
    def flat(self) -> bool:
        """Whether the training error is flat at the end."""
        return self.change is not None and -self.change <= self.allowed

    @property
    def problem(self) -> str:
        """Why the network did not converge, as a phrase; empty if it converged."""
        if self.not_started:
            return "; ".join(self._describe(cell) for cell in self.not_started)
        if self.change is None:
            return "too few validations to judge the end of training"
        return "" if self.flat else f"training error still changes by {number(self.change, 'points')} points at the end"

    def _describe(self, cell: CellResult) -> str:
        error = f"training error {cell.train.train_error:.2f}%, where guessing gives {self.guessing:.2f}%"
        return f"seed {cell.cell.seed}: {error}"


def convergence(network: NetworkResult) -> Convergence:
    """Judge how the training of a network ended."""
    change, last = _last_change(network)
    return Convergence(network, _guessing_error(network.cells[0]), change, max(FLAT_POINTS, FLAT_SHARE * last))


def has_converged(network: NetworkResult) -> bool:
    """Return whether a network converged."""
    return not convergence(network).problem


def have_converged(cells: Iterable[CellResult]) -> bool:
    """Return whether the networks of these cells converged, judged by these cells."""
    by_network = groupby(sorted(cells, key=lambda cell: cell.cell.network), key=lambda cell: cell.cell.network)
    return all(has_converged(NetworkResult(name, tuple(seeds))) for name, seeds in by_network)


def describe_problem(network: NetworkResult) -> str:
    """Return why a network did not converge, such as `plain56 (seed 0: …)`."""
    return f"{network.name} ({convergence(network).problem})"


def _guessing_error(cell: CellResult) -> float:
    images = cell.confusion.sum(axis=1)
    return 100.0 * (1.0 - float(images.max()) / float(images.sum()))


def _last_change(network: NetworkResult) -> tuple[float | None, float]:
    """Fit a line to the mean training error over the last quarter of the steps, at least three validations.

    The seeds are averaged first: a single seed's noise is as large as `FLAT_POINTS`.

    Returns:
        The fitted change over a quarter of the steps, None with fewer validations; and the mean error there.
    """
    curve = network.curves("train/error").mean(axis=1)
    steps, errors = curve.index.to_numpy(dtype=float), curve.to_numpy(dtype=float)
    quarter = _LAST_PART * steps[-1]
    count = max(_FEWEST_VALIDATIONS, int((steps > steps[-1] - quarter).sum()))
    last = float(np.mean(errors[-count:]))
    if len(steps) < _FEWEST_VALIDATIONS:
        return None, last
    centered = steps[-count:] - steps[-count:].mean()
    slope = centered @ errors[-count:] / (centered @ centered)  # least squares
    return float(slope * quarter), last
