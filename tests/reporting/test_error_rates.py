"""Without an effect, verdicts are rarely given either way. docs/evidence.md has the rates of many more grids."""

from __future__ import annotations

import pytest
from scipy import stats

from benchmarks.error_rates import CONDITIONS, count_wrong

GRIDS = 20


@pytest.mark.parametrize("condition", ["3 seeds", "5 seeds, 20% fail"])
def test_no_effect_is_rarely_taken_for_one(condition: str) -> None:
    """Each claim, with all its comparisons, errs in at most 5% of grids, within what the number of grids allows."""
    seeds, maker = CONDITIONS[condition]
    wrong = count_wrong(maker, seeds, GRIDS)
    assert max(wrong.values()) <= stats.binom.isf(0.001, GRIDS, 0.05)
    assert sum(wrong.values()) > 0  # the test sees decisions at all
