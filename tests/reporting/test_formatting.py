"""Formatting of numbers."""

from __future__ import annotations

import pytest

from resgrid.reporting.formatting import Unit, caution, counted, duration, estimate, listed
from resgrid.reporting.statistics import Interval


@pytest.mark.parametrize(
    ("value", "interval", "unit", "text"),
    [
        (9.618, (8.0, 11.236), "%", "9.62% (95% confidence interval 8.00 to 11.24)"),
        (0.1, (-0.2, 0.4), "%", "0.10% (95% confidence interval −0.20 to 0.40)"),
        (-0.64, (-1.27, 0.01), "points", "−0.64 points (95% confidence interval −1.27 to +0.01)"),
        (3.0, None, "points", "+3.00 points"),
        (0.5, (0.25, 123.4), "times", "0.500 times (95% confidence interval 0.250 to 123)"),
        (1e-4, None, "times", "0.000100 times"),
    ],
)
def test_estimates(value: float, interval: Interval | None, unit: Unit, text: str) -> None:
    assert estimate(value, interval, unit) == text


def test_lists_and_counts() -> None:
    assert [listed(["A"]), listed(["A", "B"]), listed(["A", "B", "C"])] == ["A", "A and B", "A, B and C"]
    assert [counted(1, "seed"), counted(2, "seed"), counted(1000, "seed")] == ["1 seed", "2 seeds", "1,000 seeds"]


def test_few_seeds_bring_a_caution() -> None:
    assert "With one seed" in caution(1)
    assert caution(2) == "With 2 seeds, no difference is judged: verdicts need at least 3."
    assert "large differences can be significant" in caution(3)
    assert caution(5) == ""


@pytest.mark.parametrize(("seconds", "text"), [(42.4, "42 s"), (200, "3 min 20 s"), (18240, "5 h 4 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
