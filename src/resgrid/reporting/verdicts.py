"""What a verdict on a claim is made of: the answer, one sentence, and the numbers behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from resgrid.reporting.formatting import Unit, estimate
from resgrid.reporting.statistics import Interval

Answer = Literal["reproduced", "contradicted", "inconclusive", "not tested"]


@dataclass(frozen=True)
class Evidence:
    """One number behind a verdict.

    Attributes:
        label: what the number is, such as `plain20 → plain56, training error`.
        value: in `unit`; a difference is the second minus the first, a ratio the second over the first.
        interval: 95 % confidence interval; None where there is none (one seed).
        unit: `%` (an error), `points` (a difference of errors), `times` (a ratio).
        p: two-sided, adjusted for the comparisons made for the same claim; None where no difference is tested.
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
        """Such as: +3.21 points (95 % interval +2.40 to +4.02)."""
        return estimate(self.value, self.interval, self.unit)


@dataclass(frozen=True)
class Verdict:
    """What the grid says of one of the paper's statements.

    Attributes:
        key: stable and fit for an anchor, such as `degradation` or `shortcuts-help-20`.
        title: the statement, in a few words.
        source: where the paper makes it, such as `section 4.2, Fig. 6`.
        answer: `not tested` where the grid lacks the networks or files that it takes; `inconclusive` where they are
            there and don't decide.
        sentence: one plain sentence with the decisive numbers; what is missing, if not tested.
        evidence: empty if not tested.
    """

    key: str
    title: str
    source: str
    answer: Answer
    sentence: str
    evidence: tuple[Evidence, ...]
