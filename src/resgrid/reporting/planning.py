"""Planning: which differences a number of seeds can detect, from the spread over the seeds so far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from scipy import special

from resgrid.artifacts.cell_files import CellPaths, TestMetrics, TrainMetrics
from resgrid.artifacts.files import RUNS
from resgrid.artifacts.run_record import RunRecord, record_path
from resgrid.cells import Cell
from resgrid.reporting.statistics import ALPHA, Interval, Sample

POWER = 0.8  # Cohen's convention (Statistical Power Analysis for the Behavioral Sciences, 1988, section 2.4)


@dataclass(frozen=True)
class Spread:
    """Sample standard deviation of paired differences over the seeds, pooled over several comparisons.

    Attributes:
        deviation: in the unit of the differences.
        freedom: degrees of freedom.
    """

    deviation: float
    freedom: int

    @property
    def interval(self) -> Interval:
        """95% confidence interval of the standard deviation, by the chi-squared distribution."""
        low, high = (
            self.deviation * math.sqrt(self.freedom / float(special.chdtri(self.freedom, tail)))
            for tail in (ALPHA / 2, 1 - ALPHA / 2)
        )
        return low, high


@dataclass(frozen=True)
class Detectable:
    """The lowest difference with 80% power.

    Attributes:
        interval: its 95% confidence interval, from that of the spread.
    """

    difference: float
    interval: Interval


def pooled_spread(differences: Iterable[Sample]) -> Spread | None:
    """Pool the spread of several paired differences; None if nothing varies.

    Each sample has n - 1 degrees of freedom. Comparisons that share a network are treated as independent.
    """
    samples = [sample for sample in differences if sample.standard_deviation is not None]
    freedom = sum(sample.n - 1 for sample in samples)
    squares = sum((sample.standard_deviation or 0.0) ** 2 * (sample.n - 1) for sample in samples)
    return Spread(math.sqrt(squares / freedom), freedom) if squares > 0 else None


def grid_spread(networks: Sequence[Sample]) -> Spread | None:
    """Return the spread of the paired difference of two networks, from all networks of a grid; None if unknown.

    Fits one mean for each network and one effect for each seed. The difference of two networks has √2 times the
    residual standard deviation.

    Args:
        networks: the test errors of each network, over the same seeds.
    """
    errors = np.array([sample.values for sample in networks])
    if min(errors.shape, default=0) < 2 or errors.ndim < 2:
        return None
    residuals = errors - errors.mean(axis=1, keepdims=True) - errors.mean(axis=0, keepdims=True) + errors.mean()
    freedom = (errors.shape[0] - 1) * (errors.shape[1] - 1)
    variance = float((residuals**2).sum()) / freedom
    return Spread(math.sqrt(2 * variance), freedom) if variance > 0 else None


@dataclass(frozen=True)
class Progress:
    """What the cells at hand say about more seeds.

    Attributes:
        spread: of a difference of test errors, in points; None if unknown.
        hours: device hours of one cell, on average over the cells with a run record; None without records.
    """

    spread: Spread | None
    hours: float | None


def read_progress(cells: Iterable[Cell], runs: Path = RUNS) -> Progress:
    """Read the test errors and run records of the cells that are evaluated."""
    errors: dict[str, dict[int, float]] = {}
    hours: list[float] = []
    for cell in cells:
        paths = CellPaths(cell, runs)
        if not (paths.evaluation.is_file() and paths.metrics.is_file()):
            continue
        errors.setdefault(cell.network, {})[cell.seed] = TestMetrics.read(paths.evaluation).test_error
        record = record_path(cell, TrainMetrics.read(paths.metrics).fingerprint)
        if record.is_file():
            stages = RunRecord.read(record)
            hours.append(sum(each.seconds * each.devices / 3600 for each in (stages.train, stages.evaluate) if each))
    common = sorted(set.intersection(*map(set, errors.values()))) if errors else []
    samples = [Sample(tuple(by_seed[seed] for seed in common)) for by_seed in errors.values()]
    return Progress(grid_spread(samples), fmean(hours) if hours else None)


def detectable(n: int, spread: Spread, comparisons: int = 1) -> Detectable:
    """Return the lowest difference that the paired t-test finds with 80% power.

    Args:
        n: seeds.
        comparisons: that are adjusted for each other. The p of the first must be below 5% / `comparisons` (Holm).
    """
    return _scaled(_effect(n, ALPHA / comparisons, POWER), spread)


def provable_margin(n: int, spread: Spread) -> Detectable:
    """Return the smallest equivalence margin that is shown with 80% power if there is no difference.

    Each of the two one-sided tests at 2.5% then needs 90% power.
    """
    return _scaled(_effect(n, ALPHA, (1 + POWER) / 2), spread)


def _scaled(effect: float, spread: Spread) -> Detectable:
    low, high = spread.interval
    return Detectable(effect * spread.deviation, (effect * low, effect * high))


def _effect(n: int, alpha: float, power: float) -> float:
    """Return the mean over standard deviation that the paired t-test finds with this power, two-sided at `alpha`.

    Solves P(T > t) = power, where T is noncentral t with n - 1 degrees of freedom and noncentrality √n · effect. The
    opposite tail is negligible. Source: J. Cohen, Statistical Power Analysis for the Behavioral Sciences (1988), 2.3.5.
    """
    critical = float(special.stdtrit(n - 1, 1 - alpha / 2))
    return float(special.nctdtrinc(n - 1, 1 - power, critical)) / math.sqrt(n)
