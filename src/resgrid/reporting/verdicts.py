"""Verdicts on the paper's claims: the answer, one sentence, the rule, and the numbers that the answer rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from resgrid.cells import parse_cell
from resgrid.reporting.formatting import Unit, estimate
from resgrid.reporting.statistics import Interval

# Rules answer `reproduced` or `contradicted`. In runs that are not directly comparable with the paper's, these become
# `holds here` and `fails here`.
Answer = Literal[
    "reproduced", "holds here", "contradicted", "fails here", "inconclusive", "not converged", "not tested"
]
_ELSEWHERE: dict[Answer, Answer] = {"reproduced": "holds here", "contradicted": "fails here"}


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
        key: stable and usable as an anchor, such as `degradation` or `shortcuts-help-depth-56-sigmoid`.
        claim: key of the claim, such as `shortcuts-help`.
        modifier: of the networks' names, such as `sigmoid`; empty for the paper's CIFAR-10 networks.
        title: the claim in a few words.
        source: section, figure or table of the paper.
        answer: `not tested` if the grid lacks the networks or files; `not converged` if it has them, but a seed did not
            converge; `inconclusive` if the evidence is not significant.
        sentence: the decisive numbers; what is missing, if not tested.
        evidence: empty if not tested.
        rule: when the claim holds and when it fails, in words.
        margin: of the rule, with its source.
        chosen: when the rule was chosen, and after which results.
        registered: whether git has the rule, its margin and the grid from before the runs; else exploratory.
        registration: the commit of the registration, or why the verdict is exploratory.
    """

    key: str
    claim: str
    modifier: str
    title: str
    source: str
    answer: Answer
    sentence: str
    evidence: tuple[Evidence, ...]
    rule: str
    margin: str
    chosen: str
    registered: bool = False
    registration: str = ""


def elsewhere(answer: Answer) -> Answer:
    """Return the answer in the words for runs that are not directly comparable with the paper's."""
    return _ELSEWHERE.get(answer, answer)


def count_claims(verdicts: Sequence[Verdict]) -> list[tuple[Answer, int]]:
    """Count the claims by answer, each claim once, however many depths, options and modifiers the grid has.

    Only verdicts on the first group of networks count: the paper's own, if the grid has some.
    """
    by_claim: dict[str, list[Answer]] = {}
    for verdict in verdicts:
        if verdict.modifier == verdicts[0].modifier:
            by_claim.setdefault(verdict.claim, []).append(verdict.answer)
    counts = Counter(_combined(answers) for answers in by_claim.values())
    return [(answer, counts[answer]) for answer in get_args(Answer) if counts[answer]]


def _combined(answers: Sequence[Answer]) -> Answer:
    """Combine the answers on the parts of a claim: against it if one is, for it if all are."""
    against: list[Answer] = [answer for answer in answers if answer in ("contradicted", "fails here")]
    if against:
        return against[0]
    if len(set(answers)) == 1:
        return answers[0]
    return "not converged" if "not converged" in answers else "inconclusive"
