"""Formatting of numbers as text: means with their spread, signed differences, confidence intervals, counts."""

from __future__ import annotations

from typing import Literal

from resgrid.reporting.statistics import FEWEST_SEEDS, Interval, Sample

# %: a level; points: a difference of two levels, with its sign; times: a ratio.
Unit = Literal["%", "points", "times"]

_MINUS = "\N{MINUS SIGN}"
_MANY_SEEDS = 5


def percent(sample: Sample) -> str:
    """Format mean ± sample standard deviation, without the percent sign."""
    return f"{sample.mean:.2f}" + ("" if sample.standard_deviation is None else f" ± {sample.standard_deviation:.2f}")


def rounded(sample: Sample) -> str:
    """Format mean ± sample standard deviation with at least two digits, such as `150 ± 12` or `4.2 ± 0.3`."""
    digits = 0 if sample.mean >= 10 else 1
    spread = "" if sample.standard_deviation is None else f" ± {sample.standard_deviation:,.{digits}f}"
    return f"{sample.mean:,.{digits}f}{spread}"


def points(value: float) -> str:
    """Format a difference in percentage points, with its sign."""
    return f"{value:+.2f}".replace("-", _MINUS)


def number(value: float, unit: Unit) -> str:
    """Format such as `9.62`, `+3.21` or `0.744`, without the unit."""
    match unit:
        case "%":
            return f"{value:.2f}".replace("-", _MINUS)
        case "points":
            return points(value)
        case "times":
            return f"{value:#.3g}".rstrip(".")


def with_unit(value: float, unit: Unit) -> str:
    """Format such as `9.62%`, `+3.21 points` or `0.744 times`."""
    return f"{number(value, unit)}{'' if unit == '%' else ' '}{unit}"


def estimate(value: float, interval: Interval | None, unit: Unit) -> str:
    """Format such as `+3.21 points (95% confidence interval +2.40 to +4.02)`."""
    text = with_unit(value, unit)
    if interval is None:
        return text
    return f"{text} (95% confidence interval {number(interval[0], unit)} to {number(interval[1], unit)})"


def listed(words: list[str]) -> str:
    """Format such as `A, B and C`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def counted(count: int, thing: str) -> str:
    """Format such as `1 seed` or `5 seeds`."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """Format such as `42 s`, `3 min 20 s` or `5 h 4 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def caution(seeds: int) -> str:
    """Return what this number of seeds cannot show; empty where a standard deviation is meaningful."""
    if seeds == 1:
        return "With one seed, a difference can't be distinguished from chance."
    if seeds < FEWEST_SEEDS:
        return f"With {seeds} seeds, no difference is judged: verdicts need at least {FEWEST_SEEDS}."
    if seeds < _MANY_SEEDS:
        return f"With {seeds} seeds, large differences can be significant, but small ones can't be measured."
    return ""
