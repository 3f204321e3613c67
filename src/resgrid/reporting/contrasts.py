"""Networks compared seed by seed, and the rules by which several comparisons answer one question."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from resgrid.reporting.formatting import Unit, counted, estimate
from resgrid.reporting.results import CellResult, NetworkResult
from resgrid.reporting.statistics import (
    ALPHA,
    Difference,
    Interval,
    Spread,
    holm,
    lies_within,
    paired_difference,
    seeds_needed,
)
from resgrid.reporting.verdicts import Answer, Evidence

Measured = Callable[[CellResult], float]

_TINY = 1e-30
_LARGEST_EXPONENT = 700.0  # of a number that a float can hold
_MOST_LISTED = 3
_MOST_SEEDS = 1000  # beyond it, "more seeds" is no advice


@dataclass(frozen=True)
class Contrast:
    """Two networks (or two sets of them) compared seed by seed.

    Attributes:
        first: name of the first.
        second: name of the second.
        what: is compared, such as `test error`.
        differences: second minus first by seed; of logarithms if the unit is `times`.
    """

    first: str
    second: str
    what: str
    unit: Unit
    differences: Spread
    cells: tuple[str, ...]

    @cached_property
    def difference(self) -> Difference:
        return paired_difference(self.differences)

    @property
    def value(self) -> float:
        return _ratio(self.difference.mean) if self.unit == "times" else self.difference.mean

    @property
    def interval(self) -> Interval | None:
        low_high = self.difference.interval
        if low_high is None or self.unit != "times":
            return low_high
        return _ratio(low_high[0]), _ratio(low_high[1])

    @property
    def seeds(self) -> str:
        return counted(self.differences.n, "seed")

    @property
    def text(self) -> str:
        """Such as: +3.21 points (95 % interval +2.40 to +4.02; 5 seeds)."""
        text = estimate(self.value, self.interval, self.unit)
        return f"{text} ({self.seeds})" if self.interval is None else f"{text[:-1]}; {self.seeds})"

    def evidence(self, p: float | None) -> Evidence:
        label = f"{self.first} → {self.second}, {self.what}"
        return Evidence(label, self.value, self.interval, self.unit, p, self.cells)

    def beyond(self, margin: float) -> float | None:
        """p of lying outside ±`margin`; None for one seed, 1 inside it."""
        if self.difference.p is None:
            return None
        if abs(self.difference.mean) <= margin:
            return 1.0
        shift = math.copysign(margin, self.difference.mean)
        return paired_difference(Spread(tuple(value - shift for value in self.differences.values))).p


def _ratio(logarithm: float) -> float:
    return math.exp(min(logarithm, _LARGEST_EXPONENT))


def compare(first: NetworkResult, second: NetworkResult, measured: Measured, what: str) -> Contrast:
    """Errors in points, seed by seed."""
    differences = [measured(after) - measured(before) for before, after in _seed_by_seed(first, second)]
    return Contrast(first.name, second.name, what, "points", Spread(tuple(differences)), cell_names(first, second))


def compare_ratio(first: NetworkResult, second: NetworkResult, measured: Measured, what: str) -> Contrast:
    """Positive quantities as a ratio, seed by seed."""
    ratios = [
        math.log(max(measured(after), _TINY)) - math.log(max(measured(before), _TINY))
        for before, after in _seed_by_seed(first, second)
    ]
    return Contrast(first.name, second.name, what, "times", Spread(tuple(ratios)), cell_names(first, second))


def _seed_by_seed(first: NetworkResult, second: NetworkResult) -> list[tuple[CellResult, CellResult]]:
    seconds = {cell.cell.seed: cell for cell in second.cells}
    return [(cell, seconds[cell.cell.seed]) for cell in first.cells]


def cell_names(*networks: NetworkResult) -> tuple[str, ...]:
    return tuple(cell.cell.name for network in networks for cell in network.cells)


def adjusted(contrasts: Sequence[Contrast]) -> list[float | None]:
    """The contrasts' p by Holm's method; None for all if there is one seed."""
    return adjust([contrast.difference.p for contrast in contrasts])


def adjust(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's adjustment; None for all if one is None."""
    known = [p for p in ps if p is not None]
    return [*holm(known)] if len(known) == len(ps) else [None] * len(ps)


def goes(contrast: Contrast, p: float | None) -> Literal["up", "down", "undecided"]:
    """Where the second lies from the first, by a p that may be adjusted."""
    if p is None or p >= ALPHA:
        return "undecided"
    return "up" if contrast.difference.mean > 0 else "down"


def all_go(
    claimed: Literal["up", "down"], contrasts: Sequence[Contrast], ps: Sequence[float | None]
) -> tuple[Answer, list[Contrast]]:
    """Reproduced if all go as claimed, contradicted if one goes the other way; and the contrasts that say so."""
    ways = [goes(contrast, p) for contrast, p in zip(contrasts, ps, strict=True)]
    against = [contrast for contrast, way in zip(contrasts, ways, strict=True) if way not in (claimed, "undecided")]
    if against:
        return "contradicted", against
    still_open = [contrast for contrast, way in zip(contrasts, ways, strict=True) if way == "undecided"]
    return ("inconclusive", still_open) if still_open else ("reproduced", list(contrasts))


def undecided(contrast: Contrast, others: int = 0) -> str:
    """A sentence on a comparison that doesn't decide, with what would; `others` don't either."""
    if contrast.unit == "times":
        subject = f"The {contrast.what} of {contrast.second} is {contrast.text} that of {contrast.first}"
    else:
        subject = f"From {contrast.first} to {contrast.second} the {contrast.what} changes by {contrast.text}"
    difference, deviation = contrast.difference, contrast.differences.deviation
    if difference.p is None or deviation is None:
        return f"{subject}: one seed can't tell an effect from chance."
    nor = f" (nor {'do' if others > 1 else 'does'} {counted(others, 'other comparison')})" if others else ""
    if difference.p < ALPHA:
        return f"{subject}, which doesn't decide{nor} once it is adjusted for all the comparisons of this claim."
    needed = seeds_needed(difference.mean, deviation)
    if needed is None:
        return f"{subject}: no difference shows."
    if needed > _MOST_SEEDS:
        return f"{subject}, which doesn't decide{nor}; an effect so small takes more than {_MOST_SEEDS:,} seeds."
    return f"{subject}, which doesn't decide{nor}; at this spread about {needed:,} seeds would."


def least_clear(contrasts: Sequence[Contrast]) -> str:
    """Of several that don't decide, the one that is nearest to deciding."""
    nearest = min(contrasts, key=lambda contrast: contrast.difference.p or 0)
    return undecided(nearest, len(contrasts) - 1)


def decided(contrasts: Sequence[Contrast], relation: str) -> str:
    """Such as: resnet20-A has a lower test error than plain20: −3.21 points (…); of many, the smallest effect."""
    if len(contrasts) <= _MOST_LISTED:
        return "; ".join(f"{each.second} {relation} {each.first}: {each.text}" for each in contrasts) + "."
    least = min(contrasts, key=lambda contrast: abs(contrast.difference.mean))
    return f"So in {len(contrasts)} comparisons; the least: {least.second} {relation} {least.first}: {least.text}."


def all_within(margin: float, contrasts: Sequence[Contrast]) -> tuple[Answer, list[Contrast]]:
    """Reproduced if all lie within ±`margin`, contradicted if one lies outside; and the contrasts that say so."""
    ps = adjust([contrast.beyond(margin) for contrast in contrasts])
    outside = [contrast for contrast, p in zip(contrasts, ps, strict=True) if p is not None and p < ALPHA]
    if outside:
        return "contradicted", outside
    still_open = [contrast for contrast in contrasts if not lies_within(contrast.difference.interval, margin)]
    return ("inconclusive", still_open) if still_open else ("reproduced", list(contrasts))
