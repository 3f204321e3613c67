"""Statistics over seeds: means, spread, confidence intervals and comparisons.

Each training is one random draw: another seed gives other weights and another error. All inference is about the
*mean over seeds* on this data set with its one test split; the variation between possible test sets is not included.
docs/evidence.md explains each choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np
from scipy import integrate, special

CONFIDENCE = 0.95
ALPHA = 1 - CONFIDENCE  # two-sided
FEWEST_SEEDS = 3  # with two, a fifth of the runs failing gives up to 7% false decisions (docs/evidence.md)

_MOST_FLIPPED = 20  # 2**20 sign patterns are enumerated in a few milliseconds

# Smaller differences are rounding errors, such as 200/360 - 100/360 against 100/360. Errors are in percent and ratios
# are compared by their logarithms, so nothing measurable is this small.
_ROUNDING = 1e-9

Interval = tuple[float, float]


@dataclass(frozen=True)
class Sample:
    """One quantity over the seeds of a network, in the order of the seeds."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.values)

    @cached_property
    def mean(self) -> float:
        return fmean(self.values)

    @cached_property
    def standard_deviation(self) -> float | None:
        """Sample standard deviation, with divisor n - 1; None for one seed."""
        return float(np.std(self.values, ddof=1)) if self.n > 1 else None

    @property
    def best(self) -> float:
        """Lowest value. The lowest of n falls as n grows, so it describes the search rather than the network."""
        return min(self.values)

    @property
    def interval(self) -> Interval | None:
        """95% confidence interval of the mean, by Student's t with n - 1 degrees of freedom.

        None for one seed, and for equal values: their variability is unknown, not zero.
        """
        if self.standard_deviation is None or self.standard_deviation < _ROUNDING:
            return None
        return _around(self.mean, self.standard_deviation / math.sqrt(self.n), self.n - 1)

    @property
    def percent_interval(self) -> Interval | None:
        """95% confidence interval of a percentage, on the arcsine scale, so that it lies between 0 and 100.

        None as for `interval`. Source: F. J. Anscombe, Biometrika 35 (1948), 246-254: the scale on which proportions
        have nearly constant variance.
        """
        interval = Sample(tuple(math.asin(math.sqrt(value / 100)) for value in self.values)).interval
        if interval is None:
            return None
        low, high = (100 * math.sin(min(max(end, 0.0), math.pi / 2)) ** 2 for end in interval)
        return low, high

    @property
    def prediction_interval(self) -> Interval | None:
        """95% prediction interval of one further run: mean ± t · s · √(1 + 1/n); None as for `interval`.

        Source: Hahn and Meeker, Statistical Intervals (1991), section 4.7.
        """
        if self.standard_deviation is None or self.standard_deviation < _ROUNDING:
            return None
        return _around(self.mean, self.standard_deviation * math.sqrt(1 + 1 / self.n), self.n - 1)


@dataclass(frozen=True)
class Moments:
    """Published statistics of several runs; the sample standard deviation is None if it was not published."""

    n: int
    mean: float
    standard_deviation: float | None


@dataclass(frozen=True)
class Difference:
    """A difference of two means.

    Attributes:
        mean: second minus first.
        interval: 95% confidence interval; None for one run of each, or if all differences are equal.
        p: two-sided, for the null hypothesis of no difference; None with fewer than `FEWEST_SEEDS`.
    """

    mean: float
    interval: Interval | None
    p: float | None


def paired_difference(differences: Sample) -> Difference:
    """Compare two networks over common seeds by the paired t-test.

    Cells of one seed see the same images in the same order with the same crops, so the seed's common effect cancels,
    and unequal variances of the two networks are allowed. The t-test assumes normal differences. The exact sign-flip
    test doesn't, but its lowest p is 2 / 2ⁿ: with five seeds 0.0625, so it can never be significant at 5%. Sign flips
    are used only where all differences are equal, which happens with counts of few images, and t is undefined.

    Args:
        differences: second minus first, by seed.
    """
    if differences.standard_deviation is None or differences.n < FEWEST_SEEDS:
        return Difference(differences.mean, differences.interval, None)
    if differences.standard_deviation < _ROUNDING:
        return Difference(differences.mean, differences.interval, sign_flip_p(differences.values))
    error = differences.standard_deviation / math.sqrt(differences.n)
    p = 2 * _tail(abs(differences.mean) / error, differences.n - 1)
    return Difference(differences.mean, differences.interval, p)


def welch_difference(first: Moments, second: Moments) -> Difference | None:
    """Compare two means without common seeds and without assuming equal variances.

    Source: B. L. Welch, Biometrika 34 (1947), 28-35, with the Welch-Satterthwaite degrees of freedom.

    Returns:
        Second minus first; None if either has no standard deviation, or both have zero.
    """
    if first.standard_deviation is None or second.standard_deviation is None:
        return None
    if first.standard_deviation == second.standard_deviation == 0:
        return None
    first_part, second_part = first.standard_deviation**2 / first.n, second.standard_deviation**2 / second.n
    variance = first_part + second_part
    freedom = variance**2 / (first_part**2 / (first.n - 1) + second_part**2 / (second.n - 1))
    mean = second.mean - first.mean
    p = 2 * _tail(abs(mean) / math.sqrt(variance), freedom)
    return Difference(mean, _around(mean, math.sqrt(variance), freedom), p)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Return the exact two-sided p of the sign-flip (Fisher randomization) test of paired differences.

    Under the null hypothesis each difference could equally have the other sign: p is the proportion of all 2ⁿ sign
    patterns whose sum is at least as far from zero. Source: R. A. Fisher, The Design of Experiments (1935), section 21.

    Raises:
        ValueError: there are more differences than can be enumerated, and they aren't all equal.
    """
    if max(differences) - min(differences) < _ROUNDING:  # any other sign pattern moves the sum toward zero
        return 1.0 if abs(differences[0]) < _ROUNDING else 2.0 ** (1 - len(differences))
    if len(differences) > _MOST_FLIPPED:
        raise ValueError(f"{len(differences)} differences: too many to enumerate; use at most {_MOST_FLIPPED}")
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    observed = abs(math.fsum(differences))
    return float(np.mean(np.abs(sums) >= observed - _ROUNDING))


def holm(ps: Sequence[float]) -> list[float]:
    """Adjust p values by Holm's method, which controls the family-wise error rate under any dependence.

    Source: S. Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.
    """
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = highest
    return adjusted


def is_equivalent(interval: Interval | None, margin: float) -> bool:
    """Return whether the whole 95% confidence interval lies within ±`margin`.

    This is the two one-sided tests procedure (TOST) at 2.5% on each side. A difference that is not significant doesn't
    show equivalence. Source: D. J. Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987), 657-680.
    """
    return interval is not None and -margin < interval[0] and interval[1] < margin


def expected_best(n: int) -> float:
    """Return the expected distance of the lowest of n normal draws below the mean, in standard deviations.

    1.163 for five. Source: H. A. David, Order Statistics (1981), section 3.1: ∫ x · n · φ(x) · Φ(x)ⁿ⁻¹ dx.
    """

    def density(x: float) -> float:
        return x * n * math.exp(-x * x / 2) / math.sqrt(2 * math.pi) * float(special.ndtr(x)) ** (n - 1)

    return integrate.quad(density, -10, 10)[0]


def unbiasing(n: int) -> float:
    """Return c₄(n), the expected sample standard deviation of n normal draws, in true standard deviations.

    0.798 for two, 0.940 for five. Source: H. A. David, Order Statistics (1981), section 7.2.
    """
    return math.sqrt(2 / (n - 1)) * math.exp(math.lgamma(n / 2) - math.lgamma((n - 1) / 2))


def _around(mean: float, error: float, freedom: float) -> Interval:
    margin = _critical(freedom) * error
    return mean - margin, mean + margin


def _critical(freedom: float) -> float:
    """Return the 97.5% quantile of Student's t."""
    return float(special.stdtrit(freedom, 1 - ALPHA / 2))


def _tail(t: float, freedom: float) -> float:
    """Return the probability that Student's t exceeds `t`."""
    return float(special.stdtr(freedom, -t))
