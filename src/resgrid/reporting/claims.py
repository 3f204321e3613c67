"""The paper's claims as rules that read the results and answer with numbers, intervals and one plain sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from resgrid.reporting.ensembles import Ensemble
from resgrid.reporting.results import Results

Answer = Literal["reproduced", "contradicted", "inconclusive", "not tested"]


@dataclass(frozen=True)
class Evidence:
    """One number behind a verdict.

    Attributes:
        label: what the number is, such as `plain56 − plain20, training error`.
        value: in `unit`; a difference has its sign.
        interval: 95 % confidence interval; None where there is none (one seed).
        unit: `%` (an error), `points` (a difference of errors), `steps`, or empty for a ratio.
        p: two-sided, adjusted for the comparisons made for the same claim; None where nothing is tested.
        cells: names of the cells that the number is computed from, such as `plain20-0`.
    """

    label: str
    value: float
    interval: tuple[float, float] | None
    unit: str
    p: float | None
    cells: tuple[str, ...]


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


def judge(results: Results, ensembles: Sequence[Ensemble] = ()) -> list[Verdict]:
    """Every claim, in the paper's order. `ensembles` (of `read_ensembles`) are needed for the claim about them alone."""
    raise NotImplementedError
