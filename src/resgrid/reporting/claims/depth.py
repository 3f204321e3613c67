"""Claims about depth: degradation of plain networks, and gains of residual networks."""

from __future__ import annotations

from itertools import pairwise

from resgrid.reporting.claims.claim import Finding, not_tested
from resgrid.reporting.claims.groups import ComparisonGroup, level, test_error, train_error
from resgrid.reporting.contrasts import Comparisons, Contrast, adjust, compare, describe, not_significant, significant

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
    """Degradation is not overfitting: the training error rises with the test error.

    The deepest plain network is compared with each shallower one. Reproduced if both errors are higher than for one of
    them; contradicted if for one the test error is higher and the training error lower.
    """
    if len(group.plain) < 2:
        return not_tested(_TWO_DEPTHS)
    *shallower, deepest = group.plain.values()
    tests = [compare(network, deepest, test_error, "test error") for network in shallower]
    trains = [compare(network, deepest, train_error, "training error") for network in shallower]
    ps = adjust([_both(test, train) for test, train in zip(tests, trains, strict=True)])
    pairs = list(zip(tests, trains, ps, strict=True))
    rising = [(test, train) for test, train, p in pairs if test.direction(p) == "up"]
    together = [(test, train) for test, train in rising if train.difference.mean > 0]
    test, train = max(together or rising or zip(tests, trains, strict=True), key=lambda pair: _mean(pair[0]))
    change = f"From {test.first} to {test.second}, the training error changes by {train.text} and the test error by "
    change += test.text
    rows = [contrast.evidence(p) for test, train, p in pairs for contrast in (train, test)]
    if together:
        return [Finding("reproduced", f"{change}: both rise.", rows)]
    if rising:
        return [Finding("contradicted", f"{change}: only the test error rises, which suggests overfitting.", rows)]
    return [Finding("inconclusive", f"{change}; the two are not both significant.", rows)]


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


def _both(test: Contrast, train: Contrast) -> float | None:
    """Return the p for both differences: the larger one (intersection-union test, Berger 1982)."""
    if test.difference.p is None or train.difference.p is None:
        return None
    return max(test.difference.p, train.difference.p)


def _mean(contrast: Contrast) -> float:
    return contrast.difference.mean
