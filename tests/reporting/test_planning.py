"""Detectable differences and provable margins equal the textbooks' and what simulation gives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from resgrid.cells import Cell
from resgrid.reporting.planning import Spread, detectable, grid_spread, pooled_spread, provable_margin, read_progress
from resgrid.reporting.statistics import Sample
from support.synthetic import Maker, Truth

if TYPE_CHECKING:
    from tests.reporting.conftest import MakeStudy


@pytest.mark.parametrize(("n", "effect"), [(34, 0.5), (15, 0.8), (10, 1.0), (5, 1.7)])
def test_detectable_differences_are_the_textbooks(n: int, effect: float) -> None:
    """With G*Power and with R's power.t.test(type="paired", power=0.8), these effects need n pairs, rounded up."""
    fewer, enough = (detectable(count, Spread(2.0, 9)).difference / 2 for count in (n - 1, n))
    assert enough <= effect < fewer


def test_more_comparisons_need_larger_differences() -> None:
    for comparisons in (1, 2, 10):
        effect = detectable(5, Spread(1.0, 4), comparisons).difference
        critical = stats.t.isf(0.025 / comparisons, 4)
        assert stats.nct.sf(critical, 4, effect * math.sqrt(5)) == pytest.approx(0.8, abs=1e-6)


def test_the_interval_is_that_of_the_standard_deviation() -> None:
    """0.599 and 2.874 times the sample standard deviation with 4 degrees of freedom, in any textbook's table."""
    found = detectable(5, Spread(1.0, 4))
    assert np.array(found.interval) / found.difference == pytest.approx((0.5991, 2.8736), abs=1e-4)


def test_a_margin_is_proven_as_often_as_planned() -> None:
    margin = provable_margin(6, Spread(1.0, 5)).difference
    draws = np.random.default_rng(0).normal(0, 1, (20_000, 6))
    half = stats.t.ppf(0.975, 5) * draws.std(axis=1, ddof=1) / math.sqrt(6)
    assert np.mean(np.abs(draws.mean(axis=1)) + half < margin) == pytest.approx(0.8, abs=0.015)


def test_a_pooled_spread_by_hand() -> None:
    spread = pooled_spread([Sample((1.0, 2.0, 3.0)), Sample((0.0, 4.0)), Sample((7.0,))])
    assert spread is not None
    assert (spread.deviation**2, spread.freedom) == pytest.approx(((2 * 1 + 8) / 3, 3))
    assert pooled_spread([Sample((1.0,))]) is None
    assert pooled_spread([Sample((1.0, 1.0))]) is None


def test_the_spread_of_a_grid_is_that_of_a_paired_difference() -> None:
    """Networks have noise of 0.5 points, and an effect of the seed of 3 points that the difference doesn't have."""
    truths = {f"plain{depth}": Truth(20, 20 + depth / 10) for depth in (8, 14, 20, 26, 32, 38)}
    networks = Maker(0, noise=0.5, common=3.0).grid(truths, 40).networks
    errors = [network.errors["test_error"] for network in networks]
    spread = grid_spread(errors)
    assert spread is not None
    assert spread.freedom == 5 * 39
    assert spread.deviation == pytest.approx(0.5 * math.sqrt(2), rel=0.1)
    assert grid_spread(errors[:1]) is None
    assert grid_spread([]) is None


def test_progress_is_read_from_the_cells_at_hand(make_study: MakeStudy) -> None:
    """Test errors of 10, 11 and 12, 11%: differences of 2 and 0 points; 32 s on one device for each cell."""
    study = make_study({"plain8": [(1.0, 40), (1.0, 44)], "plain20": [(1.0, 48), (1.0, 44)]})
    progress = read_progress([*study.config.grid.cells, Cell("plain32", 0)], study.root / "runs")
    assert progress.spread is not None
    assert (progress.spread.deviation, progress.spread.freedom) == pytest.approx((math.sqrt(2), 1))
    assert progress.hours == pytest.approx(32 / 3600)
