"""Numbers in words: means with their spread, differences with their sign, intervals, and what few seeds can't tell."""

from __future__ import annotations

from typing import Literal

from resgrid.reporting.statistics import Interval, Spread

# %: a level; points: a difference of two of them, with its sign; times: a ratio.
Unit = Literal["%", "points", "times"]

_MANY_SEEDS = 5


def percent(spread: Spread) -> str:
    """Mean ± sample deviation over the seeds, without the percent sign."""
    return f"{spread.mean:.2f}" + ("" if spread.deviation is None else f" ± {spread.deviation:.2f}")


def points(value: float) -> str:
    """A difference in percentage points, with its sign."""
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def number(value: float, unit: Unit) -> str:
    """Such as `9.62`, `+3.21` or `0.744`, without the unit."""
    match unit:
        case "%":
            return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")  # an interval of a small error may reach below zero
        case "points":
            return points(value)
        case "times":
            return f"{value:#.3g}".rstrip(".")


def estimate(value: float, interval: Interval | None, unit: Unit) -> str:
    """Such as: +3.21 points (95 % interval +2.40 to +4.02)."""
    text = f"{number(value, unit)} {unit}"
    if interval is None:
        return text
    return f"{text} (95 % interval {number(interval[0], unit)} to {number(interval[1], unit)})"


def listed(words: list[str]) -> str:
    """Such as: A, B and C."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def counted(count: int, thing: str) -> str:
    """Such as: 1 seed, 5 seeds."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def caution(seeds: int) -> str:
    """What so many seeds can't tell; empty where there are enough for a deviation to mean something."""
    if seeds == 1:
        return "There is one seed only: how much of a difference is chance can't be told."
    if seeds < _MANY_SEEDS:
        return f"{seeds} seeds can show a large difference, but not measure a small one."
    return ""
