"""A claim with its rule, its margin, and what a rule returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from resgrid.reporting.claims.groups import ComparisonGroup
from resgrid.reporting.verdicts import Answer, Evidence


@dataclass(frozen=True)
class Finding:
    """What a rule finds in a comparison group.

    Attributes:
        subject: the part of the claim that the finding is about, such as `depth 20`; empty for the whole claim.
    """

    answer: Answer
    sentence: str
    evidence: Sequence[Evidence] = ()
    subject: str = ""


@dataclass(frozen=True)
class Margin:
    """The largest difference that a claim counts as none.

    Attributes:
        size: a share of an error, or a factor.
        text: such as `±6% of the plain network's test error`.
        source: of the size.
    """

    size: float
    text: str
    source: str


NO_MARGIN = Margin(0.0, "none", "the paper states a direction, not an amount")


@dataclass(frozen=True)
class Claim:
    """A statement of the paper.

    Attributes:
        key: anchor of the verdict on the page.
        title: the claim in a few words.
        source: section, figure or table of the paper.
        rule: returns one finding, or one for each subject.
        decision: when the claim holds (`reproduced`) and when it fails (`contradicted`), in words.
        margin: of the rule.
        chosen: when the rule was chosen, and after which results.
    """

    key: str
    title: str
    source: str
    rule: Callable[[ComparisonGroup], list[Finding]]
    decision: str
    chosen: str
    margin: Margin = NO_MARGIN


def not_tested(needed: str) -> list[Finding]:
    """Return the finding for a group that lacks networks or files.

    Args:
        needed: such as `plain networks of at least two depths`.
    """
    return [Finding("not tested", f"Needs {needed}.")]
