"""Verdicts on the paper's claims: the answer, one sentence, and the numbers that it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from resgrid.cells import parse_cell
from resgrid.reporting.formatting import Unit, estimate
from resgrid.reporting.statistics import Interval

Answer = Literal["reproduced", "contradicted", "inconclusive", "not converged", "not tested"]


@dataclass(frozen=True)
class Evidence:
    """One number that a verdict rests on.

    Attributes:
        label: such as `plain20 → plain56, training error`.
        value: in `unit`; a difference is the second minus the first, a ratio the second over the first.
        interval: 95% confidence interval; None for one seed.
        p: two-sided, adjusted for the comparisons of the same claim; None where no difference is tested.
        cells: names of the cells that the number is computed from, such as `plain20-0`.
    """

    label: str
    value: float
    interval: Interval | None
    unit: Unit
    p: float | None
    cells: tuple[str, ...]

    @property
    def text(self) -> str:
        """Such as `+3.21 points (95% confidence interval +2.40 to +4.02)`."""
        return estimate(self.value, self.interval, self.unit)

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len({parse_cell(cell).seed for cell in self.cells})


@dataclass(frozen=True)
class Verdict:
    """The outcome of one of the paper's claims in this grid.

    Attributes:
        key: stable and usable as an anchor, such as `degradation` or `shortcuts-help-depth-20`.
        title: the claim in a few words.
        source: section, figure or table of the paper.
        answer: `not tested` if the grid lacks the networks or files; `not converged` if it has them, but a seed did not
            converge; `inconclusive` if the evidence is not significant.
        sentence: the decisive numbers; what is missing, if not tested.
        evidence: empty if not tested.
    """

    key: str
    title: str
    source: str
    answer: Answer
    sentence: str
    evidence: tuple[Evidence, ...]
