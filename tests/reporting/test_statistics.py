"""Statistics over seeds equal hand-computed numbers and scipy's own tests."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from resgrid.reporting.statistics import (
    Moments,
    Sample,
    expected_best,
    holm,
    is_equivalent,
    paired_difference,
    sign_flip_p,
    unbiasing,
    welch_difference,
)

FIRST, SECOND = (8.9, 9.1, 8.6, 9.3, 9.0), (8.2, 8.8, 8.5, 8.4, 8.7)
DIFFERENCES = Sample(tuple(second - first for first, second in zip(FIRST, SECOND, strict=True)))


def test_a_spread_by_hand() -> None:
    spread = Sample((1.0, 2.0, 6.0))
    assert (spread.n, spread.mean, spread.best) == (3, 3.0, 1.0)
    assert spread.standard_deviation == pytest.approx(math.sqrt((4 + 1 + 9) / 2))
    # t of 2 degrees of freedom at 97.5% is 4.302653 in every table.
    reach = 4.302653 * math.sqrt(7) / math.sqrt(3)
    assert spread.interval == pytest.approx((3 - reach, 3 + reach), rel=1e-6)
    assert spread.prediction_interval == pytest.approx((3 - 2 * reach, 3 + 2 * reach), rel=1e-6)


def test_one_seed_has_no_deviation_and_no_interval() -> None:
    spread = Sample((4.0,))
    assert (spread.mean, spread.standard_deviation, spread.interval, spread.prediction_interval) == (
        4.0,
        None,
        None,
        None,
    )
    difference = paired_difference(spread)
    assert (difference.mean, difference.interval, difference.p) == (4.0, None, None)


def test_the_paired_comparison_is_scipy_s() -> None:
    difference, theirs = paired_difference(DIFFERENCES), stats.ttest_rel(SECOND, FIRST)
    assert difference.mean == pytest.approx(-0.46)
    assert difference.p == pytest.approx(theirs.pvalue)
    assert difference.interval == pytest.approx(tuple(theirs.confidence_interval(0.95)))


def test_the_interval_excludes_zero_exactly_where_p_is_below_five_percent() -> None:
    for shift in np.linspace(-1, 1, 41):
        difference = paired_difference(Sample(tuple(value + shift for value in DIFFERENCES.values)))
        assert difference.interval is not None
        assert difference.p is not None
        assert (difference.interval[0] > 0 or difference.interval[1] < 0) == (difference.p < 0.05)


@pytest.mark.parametrize(("count", "p"), [(3, 0.25), (5, 0.0625), (8, 2 / 256)])
def test_few_equal_differences_are_not_significant(count: int, p: float) -> None:
    assert paired_difference(Sample((0.25,) * count)).p == p
    assert paired_difference(Sample((0.0,) * count)).p == 1


def test_equal_values_have_an_unknown_variability() -> None:
    sample = Sample((0.25,) * 5)
    assert (sample.standard_deviation, sample.interval, sample.prediction_interval) == (0, None, None)
    assert paired_difference(sample).interval is None
    assert not is_equivalent(paired_difference(sample).interval, 1.0)


def test_fewer_than_three_seeds_have_an_interval_and_no_p() -> None:
    difference = paired_difference(Sample((1.0, 1.1)))
    assert (difference.mean, difference.p) == (1.05, None)
    assert difference.interval == pytest.approx((1.05 - 12.7062 * 0.05, 1.05 + 12.7062 * 0.05), abs=1e-4)
    assert paired_difference(Sample((1.0, 1.1, 1.05))).p is not None


def test_an_interval_of_a_percentage_lies_between_0_and_100() -> None:
    low, high = Sample((1.0, 20.0)).percent_interval or (math.nan, math.nan)
    assert (low, high) == (0, 100)
    # asin √0.5 = 0.785398, asin √0.4 = 0.684719, asin √0.6 = 0.886077: mean 0.785398, standard deviation 0.100679.
    reach = 4.302653 * 0.100679 / math.sqrt(3)
    expected = tuple(100 * math.sin(0.785398 + sign * reach) ** 2 for sign in (-1, 1))
    assert Sample((40.0, 50.0, 60.0)).percent_interval == pytest.approx(expected, rel=1e-4)
    assert Sample((0.0, 0.0, 0.0)).percent_interval is None


def test_differences_equal_up_to_rounding_are_equal() -> None:
    """One image of 360 more, four times: floats make four different numbers of it, with a tiny deviation."""
    differences = [100 * (wrong + 1) / 360 - 100 * wrong / 360 for wrong in (1, 13, 46, 178)]
    assert len(set(differences)) > 1
    assert paired_difference(Sample(tuple(differences))).p == 2 / 16
    assert paired_difference(Sample((1e-16, -3e-17, 2e-17))).p == 1


def test_sign_flips_by_hand() -> None:
    # Sums of ±1 ±2 ±3: ±6, ±4, ±2, 0, 0; all but the zeros and the twos are as far out as 4.
    assert sign_flip_p((-1.0, 2.0, 3.0)) == 4 / 8
    assert sign_flip_p((1.0, 2.0, 3.0)) == 2 / 8
    assert sign_flip_p((0.1, 0.2, -0.3)) == 1
    assert sign_flip_p((0.0,) * 400) == 1
    assert sign_flip_p((2.0,) * 400) == 2.0**-399
    with pytest.raises(ValueError, match="21 differences: too many to enumerate; use at most 20"):
        sign_flip_p((1.0, 2.0, 3.0) * 7)


def test_sign_flips_are_scipy_s() -> None:
    theirs = stats.permutation_test(
        (np.array(FIRST), np.array(SECOND)), lambda x, y: np.mean(x - y), permutation_type="samples"
    )
    assert sign_flip_p(DIFFERENCES.values) == pytest.approx(theirs.pvalue)


def test_welch_is_scipy_s() -> None:
    first, second = Moments(5, 6.61, 0.16), Moments(6, 7.56, 0.54)
    difference = welch_difference(first, second)
    theirs = stats.ttest_ind_from_stats(7.56, 0.54, 6, 6.61, 0.16, 5, equal_var=False)
    assert difference is not None
    assert difference.mean == pytest.approx(0.95)
    assert difference.p == pytest.approx(float(theirs.pvalue))
    unequal = stats.ttest_ind(SECOND, FIRST[:3], equal_var=False)
    ours = welch_difference(
        Moments(3, float(np.mean(FIRST[:3])), float(np.std(FIRST[:3], ddof=1))),
        Moments(5, float(np.mean(SECOND)), float(np.std(SECOND, ddof=1))),
    )
    assert ours is not None
    assert ours.p == pytest.approx(float(tuple(unequal)[1]))
    assert ours.interval == pytest.approx(tuple(unequal.confidence_interval(0.95)))


@pytest.mark.parametrize("deviation", [None, 0.0])
def test_welch_needs_deviations(deviation: float | None) -> None:
    assert welch_difference(Moments(1, 8.75, deviation), Moments(5, 8.5, 0.0)) is None


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == [1, 1]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("interval", "equivalent"), [((-0.9, 0.9), True), ((-1.0, 0.5), False), ((0.2, 1.1), False), (None, False)]
)
def test_equivalence_needs_the_whole_interval_within_the_margin(
    interval: tuple[float, float] | None, equivalent: bool
) -> None:
    assert is_equivalent(interval, 1.0) is equivalent


@pytest.mark.parametrize(("n", "deviations"), [(1, 0), (2, 1 / math.sqrt(math.pi)), (3, 0.846284), (5, 1.162964)])
def test_the_best_of_n_is_expected_where_tables_have_it(n: int, deviations: float) -> None:
    assert expected_best(n) == pytest.approx(deviations, abs=1e-6)


@pytest.mark.parametrize(("n", "c4"), [(2, 0.797885), (3, 0.886227), (5, 0.939986), (10, 0.972659)])
def test_the_sample_standard_deviation_of_few_runs_is_too_small(n: int, c4: float) -> None:
    """Table of c₄ in any handbook of quality control."""
    assert unbiasing(n) == pytest.approx(c4, abs=1e-6)
