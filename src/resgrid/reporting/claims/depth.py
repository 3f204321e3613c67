"""Claims about depth: degradation of plain networks, and gains of residual networks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from resgrid.reporting.claims.claim import Finding, not_tested
from resgrid.reporting.claims.groups import ComparisonGroup, level, test_error, train_error
from resgrid.reporting.contrasts import Comparisons, Contrast, adjust, compare, describe, not_significant, significant
from resgrid.reporting.results import CellResult, NetworkResult
from resgrid.reporting.verdicts import Answer, Evidence

_TWO_DEPTHS = "plain networks of at least two depths"


def degradation(group: ComparisonGroup) -> list[Finding]:
    """Deeper plain networks have a higher training error.

    The deepest plain network is compared with each shallower one. It need not be worse than any of them, since its
    added layers could be identities. Reproduced if it is worse than at least one; contradicted if better than all.
    """
    if len(group.plain) < 2:
        return not_tested(_TWO_DEPTHS)
    *shallower, deepest = group.plain.values()
    tests = Comparisons.adjusted(compare(network, deepest, train_error, "training error") for network in shallower)
    worse, better = tests.going("up"), tests.going("down")
    if worse:
        answer = "reproduced"
        sentence = significant([max(worse, key=_mean)], "has a higher training error than")
    elif len(better) == len(shallower):
        answer = "contradicted"
        nearest = significant([max(better, key=_mean)], "has a lower training error than")
        sentence = f"{deepest.name} has a lower training error than every shallower plain network; nearest: {nearest}"
    else:
        answer = "inconclusive"
        sentence = not_significant(tests.going(None))
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
            return [Finding(answer, max(found, key=_test_mean).sentence(answer), evidence)]
    return [Finding("inconclusive", max(rises, key=_test_mean).sentence("inconclusive"), evidence)]


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


def residual_depth(group: ComparisonGroup) -> list[Finding]:
    """Deeper residual networks have a lower test error: one finding for each shortcut option.

    The deepest is compared with the shallowest; the p values are adjusted over the options. The steps between
    neighboring depths are shown and decide nothing.
    """
    networks = {option: list(group.residual[option].values()) for option in sorted(group.residual)}
    networks = {option: by_depth for option, by_depth in networks.items() if len(by_depth) > 1}
    if not networks:
        return not_tested("residual networks of two depths with one shortcut option")
    tests = Comparisons.adjusted(
        compare(by_depth[0], by_depth[-1], test_error, "test error") for by_depth in networks.values()
    )
    findings: list[Finding] = []
    for index, (option, by_depth) in enumerate(networks.items()):
        ends = tests.part([index])
        levels = [level(network, test_error, "test error") for network in by_depth]
        steps = [compare(*step, test_error, "test error").evidence(None) for step in pairwise(by_depth)]
        evidence = [*levels, *(steps if len(by_depth) > 2 else []), *ends.evidence]
        answer, decisive = ends.judge("down")
        findings.append(Finding(answer, describe(answer, decisive, "test error"), evidence, f"option {option}"))
    return findings


def _gap(cell: CellResult) -> float:
    return test_error(cell) - train_error(cell)


def _test_mean(rise: _Rise) -> float:
    return rise.test.difference.mean


def _mean(contrast: Contrast) -> float:
    return contrast.difference.mean
