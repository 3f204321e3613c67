"""Comparisons of networks seed by seed, and the rules by which several comparisons answer one question."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

from resgrid.reporting.formatting import Unit, counted, estimate, number
from resgrid.reporting.planning import detectable, pooled_spread
from resgrid.reporting.results import CellResult, NetworkResult
from resgrid.reporting.statistics import (
    ALPHA,
    FEWEST_SEEDS,
    Difference,
    Interval,
    Sample,
    holm,
    is_equivalent,
    paired_difference,
)
from resgrid.reporting.verdicts import Answer, Evidence

Direction = Literal["up", "down"]
Measured = Callable[[CellResult], float]

ONE_SEED = "With one seed, a difference can't be distinguished from chance."

_TINY = 1e-30
_LARGEST_EXPONENT = 700.0  # of a number that a float can represent
_MOST_LISTED = 3


@dataclass(frozen=True)
class Contrast:
    """Two networks, or two sets of networks, compared seed by seed.

    Attributes:
        first: name of the first.
        second: name of the second.
        quantity: such as `test error`.
        differences: second minus first by seed; of logarithms if the unit is `times`.
    """

    first: str
    second: str
    quantity: str
    unit: Unit
    differences: Sample
    cells: tuple[str, ...]

    @cached_property
    def difference(self) -> Difference:
        return paired_difference(self.differences)

    @property
    def value(self) -> float:
        return _ratio(self.difference.mean) if self.unit == "times" else self.difference.mean

    @property
    def interval(self) -> Interval | None:
        interval = self.difference.interval
        if interval is None or self.unit != "times":
            return interval
        return _ratio(interval[0]), _ratio(interval[1])

    @property
    def text(self) -> str:
        """Such as `+3.21 points (95% confidence interval +2.40 to +4.02; 5 seeds)`."""
        text, seeds = estimate(self.value, self.interval, self.unit), counted(self.differences.n, "seed")
        return f"{text} ({seeds})" if self.interval is None else f"{text[:-1]}; {seeds})"

    @property
    def change(self) -> str:
        """The difference as the beginning of a sentence."""
        if self.unit == "times":
            return f"The {self.quantity} of {self.second} is {self.text} that of {self.first}"
        return f"From {self.first} to {self.second}, the {self.quantity} changes by {self.text}"

    def direction(self, p: float | None) -> Direction | None:
        """Return the direction from first to second; None if this p, which may be adjusted, is not significant."""
        if p is None or p >= ALPHA:
            return None
        return "up" if self.difference.mean > 0 else "down"

    def evidence(self, p: float | None) -> Evidence:
        label = f"{self.first} → {self.second}, {self.quantity}"
        return Evidence(label, self.value, self.interval, self.unit, p, self.cells)

    def beyond(self, margin: float) -> float | None:
        """Return the p for a difference beyond ±`margin`; None with too few seeds, 1 if the mean lies within."""
        if self.difference.p is None:
            return None
        if abs(self.difference.mean) <= margin:
            return 1.0
        shift = math.copysign(margin, self.difference.mean)
        return paired_difference(Sample(tuple(value - shift for value in self.differences.values))).p


@dataclass(frozen=True)
class Comparisons:
    """Contrasts that answer one question.

    Attributes:
        ps: the contrasts' p values by Holm's method; None for all with too few seeds.
        whole: all contrasts that the p values are adjusted for.
    """

    contrasts: tuple[Contrast, ...]
    ps: tuple[float | None, ...]
    whole: tuple[Contrast, ...]

    @classmethod
    def adjusted(cls, contrasts: Iterable[Contrast]) -> Self:
        """Adjust the contrasts' p values for each other."""
        contrasts = tuple(contrasts)
        return cls(contrasts, tuple(adjust([contrast.difference.p for contrast in contrasts])), contrasts)

    @property
    def evidence(self) -> list[Evidence]:
        return [contrast.evidence(p) for contrast, p in zip(self.contrasts, self.ps, strict=True)]

    def part(self, indices: Sequence[int]) -> Comparisons:
        """Select contrasts and keep their p values, which stay adjusted for all."""
        contrasts, ps = tuple(self.contrasts[index] for index in indices), tuple(self.ps[index] for index in indices)
        return Comparisons(contrasts, ps, self.whole)

    def going(self, direction: Direction | None) -> list[Contrast]:
        """Return the contrasts that go significantly in this direction; the rest for None."""
        pairs = zip(self.contrasts, self.ps, strict=True)
        return [contrast for contrast, p in pairs if contrast.direction(p) == direction]

    def judge(self, claimed: Direction) -> tuple[Answer, list[Contrast]]:
        """Answer whether all contrasts go as claimed; contradicted if one goes the other way.

        Returns:
            The answer and the contrasts that decide it.
        """
        against = self.going("down" if claimed == "up" else "up")
        if against:
            return "contradicted", against
        remaining = self.going(None)
        return ("inconclusive", remaining) if remaining else ("reproduced", list(self.contrasts))

    def describe(self, answer: Answer, decisive: Sequence[Contrast], quantity: str) -> str:
        """Describe the contrasts that decide whether a quantity is lower, as claimed."""
        if answer == "inconclusive":
            return self.not_significant(min(decisive, key=lambda contrast: contrast.difference.p or 0))
        return significant(decisive, f"has a {'lower' if answer == 'reproduced' else 'higher'} {quantity} than")

    def not_significant(self, contrast: Contrast) -> str:
        """Describe a contrast that is not significant, with the lowest difference that the seeds can detect.

        The spread is pooled over all contrasts of the claim, and the adjustment is that for all of them.
        """
        n, difference = contrast.differences.n, contrast.difference
        if n == 1:
            return f"{contrast.change}. {ONE_SEED}"
        if difference.p is None:
            return f"{contrast.change}. A verdict needs at least {FEWEST_SEEDS} seeds."
        if difference.interval is None:
            return f"{contrast.change}. All seeds show the same difference, so its variability is unknown."
        adjusted = " after adjustment for all comparisons of this claim" if difference.p < ALPHA else ""
        spread = pooled_spread(each.differences for each in self.whole)
        assert spread is not None  # this contrast has an interval, so it varies
        lowest = detectable(n, spread, len(self.whole))
        low, high = (_size(end, contrast.unit) for end in lowest.interval)
        return (
            f"{contrast.change}. This is not significant{adjusted}. With {counted(n, 'seed')}, 80% power needs "
            f"{_change(lowest.difference, contrast.unit)} (95% confidence interval {low} to {high})."
        )


def judge_equivalence(
    contrasts: Sequence[Contrast], margins: Sequence[float]
) -> tuple[Answer, list[tuple[Contrast, float]]]:
    """Answer whether each contrast is equivalent within its margin; contradicted if one lies significantly outside.

    Contrasts with too few seeds, or with equal differences, are never equivalent: their variability is unknown.

    Args:
        margins: one for each contrast, in the unit of its differences.

    Returns:
        The answer, and the contrasts that decide it with their margins.
    """
    pairs = list(zip(contrasts, margins, strict=True))
    ps = adjust([contrast.beyond(margin) for contrast, margin in pairs])
    outside = [pair for pair, p in zip(pairs, ps, strict=True) if p is not None and p < ALPHA]
    if outside:
        return "contradicted", outside
    remaining = [
        (contrast, margin)
        for contrast, margin in pairs
        if contrast.difference.p is None or not is_equivalent(contrast.difference.interval, margin)
    ]
    return ("inconclusive", remaining) if remaining else ("reproduced", pairs)


def compare(first: NetworkResult, second: NetworkResult, measured: Measured, quantity: str) -> Contrast:
    """Compare errors seed by seed, in points."""
    differences = [measured(after) - measured(before) for before, after in seed_by_seed(first, second)]
    return Contrast(first.name, second.name, quantity, "points", Sample(tuple(differences)), cell_names(first, second))


def compare_ratio(first: NetworkResult, second: NetworkResult, measured: Measured, quantity: str) -> Contrast:
    """Compare positive quantities seed by seed, as a ratio."""
    ratios = [
        math.log(max(measured(after), _TINY)) - math.log(max(measured(before), _TINY))
        for before, after in seed_by_seed(first, second)
    ]
    return Contrast(first.name, second.name, quantity, "times", Sample(tuple(ratios)), cell_names(first, second))


def seed_by_seed(first: NetworkResult, second: NetworkResult) -> list[tuple[CellResult, CellResult]]:
    """Pair the cells of two networks, in the order of the first network's seeds."""
    seconds = {cell.cell.seed: cell for cell in second.cells}
    return [(cell, seconds[cell.cell.seed]) for cell in first.cells]


def cell_names(*networks: NetworkResult) -> tuple[str, ...]:
    """List the cells of these networks by name."""
    return tuple(cell.cell.name for network in networks for cell in network.cells)


def adjust(ps: Sequence[float | None]) -> list[float | None]:
    """Adjust p values by Holm's method; None for all if one is None."""
    known = [p for p in ps if p is not None]
    return [*holm(known)] if len(known) == len(ps) else [None] * len(ps)


def significant(contrasts: Sequence[Contrast], relation: str) -> str:
    """Describe significant contrasts, such as `resnet20-A has a lower test error than plain20: −3.21 points (…).`

    Of more than three, only the smallest effect is described.
    """
    if len(contrasts) <= _MOST_LISTED:
        return "; ".join(f"{each.second} {relation} {each.first}: {each.text}" for each in contrasts) + "."
    least = min(contrasts, key=lambda contrast: abs(contrast.difference.mean))
    smallest = f"{least.second} {relation} {least.first}: {least.text}"
    return f"This holds in {len(contrasts)} comparisons; in the smallest effect, {smallest}."


def _change(difference: float, unit: Unit) -> str:
    """Format a difference without its sign: `a difference of 1.20 points`, or for logarithms `a factor of 1.3`."""
    size = _size(difference, unit)
    return f"a factor of {size}" if unit == "times" else f"a difference of {size} points"


def _size(difference: float, unit: Unit) -> str:
    return number(_ratio(difference), unit) if unit == "times" else f"{difference:.2f}"


def _ratio(logarithm: float) -> float:
    return math.exp(min(logarithm, _LARGEST_EXPONENT))
