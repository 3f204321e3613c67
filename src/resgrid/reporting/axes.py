"""Axes of the page's charts, with round ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Axis:
    """One axis: its label, its ends, and its ticks by value and text.

    Attributes:
        log: logarithmic; both ends are above zero.
    """

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def place(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return positions along the axis, from 0 at its low end to 1 at its high end."""
        values = np.asarray(values, dtype=float)
        if self.log:
            return np.log(np.maximum(values, self.low * 1e-3) / self.low) / math.log(self.high / self.low)
        return (values - self.low) / (self.high - self.low)


def linear_axis(label: str, low: float, high: float, whole: bool = False) -> Axis:
    """Return an axis with round ticks.

    Args:
        whole: use integer ticks, for counts.
    """
    if high <= low:
        high = low + 1
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    if whole:
        step = max(1, round(step))
    first = math.ceil(low / step - 1e-9)
    ticks = tuple((index * step, short(index * step)) for index in range(first, math.floor(high / step + 1e-9) + 1))
    return Axis(label, low, high, ticks)


def log_axis(label: str, low: float, high: float) -> Axis:
    """Return a logarithmic axis around these values.

    Ticks are at 1, 2 and 5 of each decade; more within one decade, and only at the decades over several.
    """
    low, high = low / 1.25, high * 1.25
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    span = math.log10(high / low)
    factors = (1, 2, 3, 5, 7) if span < 1 else (1, 2, 5) if span < 2.2 else (1,)
    every = max(1, len(decades) // 7) if factors == (1,) else 1
    marks = [factor * 10.0**decade for decade in decades if decade % every == 0 for factor in factors]
    ticks = tuple((mark, short(mark)) for mark in marks if low <= mark <= high)
    return Axis(label, low, high, ticks, log=True)


def category_axis(label: str, names: Sequence[str]) -> Axis:
    """Return an axis of evenly spaced names, the first at 0."""
    return Axis(label, -0.5, len(names) - 0.5, tuple((index, name) for index, name in enumerate(names)))


def short(value: float) -> str:
    """Format such as `0`, `0.5`, `60`, `16k`, `2.8G`, `1e-05`."""
    size = abs(value)
    for bound, unit, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if size >= bound:
            return f"{value / unit:g}{letter}"
    return f"{value:.0e}".replace("e-0", "e-") if 0 < size < 1e-3 else f"{value:g}"
