"""Claims about the depth of plain networks: degradation, which is not overfitting."""

from __future__ import annotations

from dataclasses import dataclass

from resgrid.names import parse_network
from resgrid.reporting.claims.claim import Finding, not_tested
from resgrid.reporting.claims.groups import ComparisonGroup, level, test_error, train_error
from resgrid.reporting.contrasts import Comparisons, Contrast, adjust, compare, significant
from resgrid.reporting.results import CellResult, NetworkResult
from resgrid.reporting.verdicts import Answer, Evidence

# Fig. 1 compares 56 layers with 20, and Fig. 6 starts with 20.
_PAPER_SHALLOW = 20
_TWO_DEPTHS = "plain networks of at least two depths"


def degradation(group: ComparisonGroup) -> list[Finding]:
    """Deeper plain networks have a higher training error.

    The deepest plain network is compared with each shallower one. It need not be worse than any of them, since its
    added layers could be identities. So one that is better is enough. The sentence gives the comparison of the paper's
    sentence, with the depth nearest to 20, if it is among the decisive ones.
    """
    if len(group.plain) < 2:
        return not_tested(_TWO_DEPTHS)
    *shallower, deepest = group.plain.values()
    tests = Comparisons.adjusted(compare(network, deepest, train_error, "training error") for network in shallower)
    worse, better = tests.going("up"), tests.going("down")
    if worse:
        answer = "reproduced"
        sentence = significant([min(worse, key=_from_the_paper)], "has a higher training error than")
    elif len(better) == len(shallower):
        answer = "contradicted"
        sentence = f"{deepest.name} has a lower training error than every shallower plain network; "
        sentence += significant([min(better, key=_from_the_paper)], "compared with")
    else:
        answer = "inconclusive"
        sentence = tests.not_significant(min(tests.going(None), key=_from_the_paper))
    levels = [level(network, train_error, "training error") for network in group.plain.values()]
    return [Finding(answer, sentence, [*levels, *tests.evidence])]


def not_overfitting(group: ComparisonGroup) -> list[Finding]:
    """Degradation is not overfitting: the test error rises because the training error does.

    The deepest plain network is compared with each shallower one. With overfitting, the gap between test and training
    error grows. Reproduced if the test error is higher than for one of them, and the training error rises by more than
    the gap; contradicted if the gap grows by more than the training error. Both conditions must be significant: the
    larger of their p values counts (intersection-union test, Berger 1982).
    """
    if len(group.plain) < 2:
        return not_tested(_TWO_DEPTHS)
    *shallower, deepest = group.plain.values()
    rises = [_Rise.between(network, deepest) for network in shallower]
    ps = adjust([rise.p for rise in rises])
    evidence = [row for rise, p in zip(rises, ps, strict=True) for row in rise.evidence(p)]
    pairs = [
        (rise, rise.balance.direction(p)) for rise, p in zip(rises, ps, strict=True) if rise.test.difference.mean > 0
    ]
    answers: tuple[tuple[Answer, str], ...] = (("reproduced", "up"), ("contradicted", "down"))
    for answer, direction in answers:
        found = [rise for rise, way in pairs if way == direction]
        if found:
            return [Finding(answer, min(found, key=_Rise.from_the_paper).sentence(answer), evidence)]
    return [Finding("inconclusive", min(rises, key=_Rise.from_the_paper).sentence("inconclusive"), evidence)]


@dataclass(frozen=True)
class _Rise:
    """The change of the errors from a shallower plain network to the deepest.

    Attributes:
        gap: test error minus training error.
        balance: training error minus gap.
    """

    train: Contrast
    test: Contrast
    gap: Contrast
    balance: Contrast

    @classmethod
    def between(cls, first: NetworkResult, second: NetworkResult) -> _Rise:
        return cls(
            compare(first, second, train_error, "training error"),
            compare(first, second, test_error, "test error"),
            compare(first, second, _gap, "gap (test − training error)"),
            compare(first, second, lambda cell: train_error(cell) - _gap(cell), "training error − gap"),
        )

    @property
    def p(self) -> float | None:
        ps = self.test.difference.p, self.balance.difference.p
        return None if ps[0] is None or ps[1] is None else max(ps[0], ps[1])

    def from_the_paper(self) -> int:
        return _from_the_paper(self.test)

    def evidence(self, p: float | None) -> list[Evidence]:
        unadjusted = [contrast.evidence(None) for contrast in (self.train, self.test, self.gap)]
        return [*unadjusted, self.balance.evidence(p)]

    def sentence(self, answer: Answer) -> str:
        changes = f"From {self.test.first} to {self.test.second}, the test error changes by {self.test.text}, "
        changes += f"the training error by {self.train.text} and the gap between them by {self.gap.text}"
        return changes + _OVERFITTING[answer]


_OVERFITTING: dict[Answer, str] = {
    "reproduced": ": most of the rise is in the training error.",
    "contradicted": ": most of the rise is in the gap, which suggests overfitting.",
    "inconclusive": "; this doesn't significantly show either.",
}


def _gap(cell: CellResult) -> float:
    return test_error(cell) - train_error(cell)


def _from_the_paper(contrast: Contrast) -> int:
    """Return the distance of the shallower network's depth from that of the paper's sentence, in layers."""
    return abs((parse_network(contrast.first).depth or 0) - _PAPER_SHALLOW)
