"""Statistics over seeds: mean, spread, intervals, paired and unpaired comparisons, and how many seeds it would take.

One run of a network is one draw: another seed gives other weights and another error. What is asked here is always
how the *mean over seeds* lies, on this data set and its one test split. A chance in the choice of the test images is
no part of it. docs/evidence.md explains each choice in plain words.
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
POWER = 0.8  # Cohen's convention (Statistical Power Analysis for the Behavioral Sciences, 1988, section 2.4)

_MOST_FLIPPED = 20  # 2**20 sign patterns are enumerated in a few milliseconds

# Below it two numbers are equal: 100/360 and 200/360 - 100/360 aren't, to a computer. Errors are in percent and ratios
# are compared by their logarithms, where nothing that can be measured is so small.
_ROUNDING = 1e-9
_LEAST_EFFECT = 0.0028  # deviations; a smaller one takes more than a million seeds

Interval = tuple[float, float]


@dataclass(frozen=True)
class Spread:
    """One quantity over the seeds of a network, in the order of the seeds."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.values)

    @cached_property
    def mean(self) -> float:
        return fmean(self.values)

    @cached_property
    def deviation(self) -> float | None:
        """The sample deviation (divided by n - 1); None for one seed."""
        return float(np.std(self.values, ddof=1)) if self.n > 1 else None

    @property
    def best(self) -> float:
        """The lowest value. The best of n runs falls as n grows, so it describes the search and not the network."""
        return min(self.values)

    @property
    def interval(self) -> Interval | None:
        """95 % confidence interval of the mean, by Student's t with n - 1 degrees of freedom; None for one seed."""
        if self.deviation is None:
            return None
        return _around(self.mean, self.deviation / math.sqrt(self.n), self.n - 1)

    @property
    def prediction_interval(self) -> Interval | None:
        """Where one further run would lie, with a probability of 95 %; None for one seed.

        Mean ± t · s · √(1 + 1/n): the place for a published number of a single run. Source: Hahn and Meeker,
        Statistical Intervals (1991), section 4.7.
        """
        if self.deviation is None:
            return None
        return _around(self.mean, self.deviation * math.sqrt(1 + 1 / self.n), self.n - 1)


@dataclass(frozen=True)
class Moments:
    """What a publication gives of several runs: n, mean and sample deviation (None if it gives none)."""

    n: int
    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Difference:
    """A difference of two means.

    Attributes:
        mean: second minus first.
        interval: 95 % confidence interval; None where one run of each is all there is.
        p: two-sided, of no difference; None likewise.
    """

    mean: float
    interval: Interval | None
    p: float | None


def paired_difference(differences: Spread) -> Difference:
    """Compare two networks over common seeds, by Student's t on the differences seed by seed.

    Cells of one seed see the same images in the same order, with the same crops, so what the seed does to both
    cancels, and unequal spreads of the two networks do no harm. The t interval holds for normal differences.
    The exact sign-flip test assumes less, but can't answer for few seeds: its lowest p is 2 / 2ⁿ, so with five seeds
    (0.0625) it never decides at 5 %, whatever the difference. So t decides, and the sign flips are taken only where
    all differences are equal, since t has nothing to divide by there: counts of few images make that happen by chance.

    Args:
        differences: second minus first, by seed.
    """
    if differences.deviation is None:
        return Difference(differences.mean, None, None)
    if differences.deviation < _ROUNDING:
        return Difference(differences.mean, differences.interval, sign_flip_p(differences.values))
    error = differences.deviation / math.sqrt(differences.n)
    p = 2 * _tail(abs(differences.mean) / error, differences.n - 1)
    return Difference(differences.mean, differences.interval, p)


def welch_difference(first: Moments, second: Moments) -> Difference | None:
    """Compare two means without common seeds and without the assumption of equal spreads.

    For a published mean with its own n and deviation. Source: B. L. Welch, Biometrika 34 (1947), 28-35, with the
    Welch-Satterthwaite degrees of freedom.

    Returns:
        Second minus first; None if either has no deviation, or both have a deviation of zero.
    """
    if first.deviation is None or second.deviation is None or first.deviation == second.deviation == 0:
        return None
    first_part, second_part = first.deviation**2 / first.n, second.deviation**2 / second.n
    variance = first_part + second_part
    freedom = variance**2 / (first_part**2 / (first.n - 1) + second_part**2 / (second.n - 1))
    mean = second.mean - first.mean
    p = 2 * _tail(abs(mean) / math.sqrt(variance), freedom)
    return Difference(mean, _around(mean, math.sqrt(variance), freedom), p)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Exact two-sided p of the sign-flip (Fisher randomisation) test of paired differences.

    Were the networks alike, each difference could as well have had the other sign: p is the share of all 2ⁿ patterns
    of signs whose sum is at least as far from zero. Source: R. A. Fisher, The Design of Experiments (1935), section 21.

    Raises:
        ValueError: there are more differences than can be enumerated, and they aren't all equal.
    """
    if max(differences) - min(differences) < _ROUNDING:  # any other sign takes the sum nearer to zero
        return 1.0 if abs(differences[0]) < _ROUNDING else 2.0 ** (1 - len(differences))
    if len(differences) > _MOST_FLIPPED:
        raise ValueError(f"{len(differences)} differences; all signs are enumerated for at most {_MOST_FLIPPED}")
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    seen = abs(math.fsum(differences))
    return float(np.mean(np.abs(sums) >= seen - _ROUNDING))


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjustment: the chance of even one false alarm among them stays at the level, whatever their dependence.

    Source: S. Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.
    """
    adjusted = [0.0] * len(ps)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=lambda index: ps[index])):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = highest
    return adjusted


def lies_within(interval: Interval | None, margin: float) -> bool:
    """Whether two means are shown to be alike: the whole interval lies inside ±`margin`.

    This is the two one-sided tests procedure (TOST), at 2.5 % for each side with a 95 % interval. That a difference
    is not significant shows nothing of the kind. Source: D. J. Schuirmann, Journal of Pharmacokinetics and
    Biopharmaceutics 15 (1987), 657-680.
    """
    return interval is not None and -margin < interval[0] and interval[1] < margin


def seeds_needed(difference: float, deviation: float) -> int | None:
    """Seeds for which the paired t-test finds this difference with a probability of 80 %, at 5 % two-sided.

    The lowest n with P(|T| > t) ≥ 0.8, where T is noncentral t with n - 1 degrees of freedom and the noncentrality
    √n · |difference| / deviation. Source: J. Cohen, Statistical Power Analysis for the Behavioral Sciences (1988),
    section 2.3.5. An observed difference is itself uncertain, so the answer is a plan and no promise.

    Args:
        difference: of the means, in the unit of `deviation`.
        deviation: of the differences over the seeds.

    Returns:
        At least 2; None beyond a million, as for no difference at all.
    """
    if deviation == 0:
        return 2 if difference else None
    effect = abs(difference) / deviation
    if effect < _LEAST_EFFECT:
        return None
    # With a known deviation so many would do; the t-test takes a few more.
    known = (special.ndtri(1 - ALPHA / 2) + special.ndtri(POWER)) / effect
    n = max(2, math.ceil(known**2))
    while power(n, effect) < POWER:
        n += 1
    return n


def power(n: int, effect: float) -> float:
    """Probability that the paired t-test of n differences decides at 5 %, for a mean of `effect` deviations."""
    # The other tail, of a decision in the wrong direction, is left out: it is negligible where power matters.
    return 1 - float(special.nctdtr(n - 1, effect * math.sqrt(n), _critical(n - 1)))


def expected_best(n: int) -> float:
    """How far below the mean the best of n normal draws is expected, in deviations (1.163 for five).

    Source: order statistics, H. A. David, Order Statistics (1981), section 3.1: ∫ x · n · φ(x) · Φ(x)ⁿ⁻¹ dx.
    """

    def density(x: float) -> float:
        return x * n * math.exp(-x * x / 2) / math.sqrt(2 * math.pi) * float(special.ndtr(x)) ** (n - 1)

    return integrate.quad(density, -10, 10)[0]


def _around(mean: float, error: float, freedom: float) -> Interval:
    reach = _critical(freedom) * error
    return mean - reach, mean + reach


def _critical(freedom: float) -> float:
    """Student's t that is exceeded with a probability of 2.5 %."""
    return float(special.stdtrit(freedom, 1 - ALPHA / 2))


def _tail(t: float, freedom: float) -> float:
    """The probability that Student's t exceeds this."""
    return float(special.stdtr(freedom, -t))
