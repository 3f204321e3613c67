"""Claims about the depth of residual networks: gains up to 110 layers, and a higher test error beyond."""

from __future__ import annotations

from resgrid.reporting.claims.claim import Finding, not_tested
from resgrid.reporting.claims.groups import ComparisonGroup, level, test_error, train_error
from resgrid.reporting.contrasts import Comparisons, Measured, compare, significant
from resgrid.reporting.verdicts import Answer

# The residual networks of Table 6 gain up to 110 layers; that of 1202 layers has a higher test error (section 4.2). So
# gains are judged up to 110 layers and the rise beyond, and no two claims ask for opposite outcomes.
PAPER_DEEP = 110


def residual_training(group: ComparisonGroup) -> list[Finding]:
    """Deeper residual networks have a lower training error, up to 110 layers: one finding for each shortcut option."""
    return _falls_with_depth(group, train_error, "training error")


def residual_depth(group: ComparisonGroup) -> list[Finding]:
    """Deeper residual networks have a lower test error, up to 110 layers: one finding for each shortcut option."""
    return _falls_with_depth(group, test_error, "test error")


def _falls_with_depth(group: ComparisonGroup, measured: Measured, quantity: str) -> list[Finding]:
    """Judge whether an error falls with depth, among the networks of at most 110 layers.

    The deepest network is compared with each shallower one. Reproduced if it is lower than the shallowest and higher
    than none; contradicted if it is higher than one, so that the optimum lies at a lower depth. The p values are
    adjusted over all depths and options.
    """
    chains = [
        networks
        for option in sorted(group.residual)
        if len(networks := [network for depth, network in group.residual[option].items() if depth <= PAPER_DEEP]) > 1
    ]
    if not chains:
        return not_tested(f"residual networks of two depths with one shortcut option, of at most {PAPER_DEEP} layers")
    tests = Comparisons.adjusted(
        compare(network, deepest, measured, quantity) for *shallower, deepest in chains for network in shallower
    )
    findings: list[Finding] = []
    start = 0
    for chain in chains:
        own = tests.part(range(start, start := start + len(chain) - 1))
        levels = [level(network, measured, quantity) for network in chain]
        answer, sentence = _optimum(own, quantity)
        best = min(levels, key=lambda row: row.value).label.partition(",")[0]
        sentence += f" The lowest mean is that of {best}."
        option = f"option {chain[0].network.shortcut}"
        findings.append(Finding(answer, sentence, [*levels, *own.evidence], option))
    return findings


def _optimum(tests: Comparisons, quantity: str) -> tuple[Answer, str]:
    """Judge the deepest network against each shallower one, the shallowest first."""
    higher, shallowest = tests.going("up"), tests.part([0])
    if higher:
        lowest = max(higher, key=lambda contrast: contrast.difference.mean)
        return "contradicted", tests.describe("contradicted", [lowest], quantity)
    if shallowest.going("down"):
        return "reproduced", tests.describe("reproduced", shallowest.contrasts, quantity)
    return "inconclusive", tests.not_significant(shallowest.contrasts[0])


def residual_optimum(group: ComparisonGroup) -> list[Finding]:
    """Beyond 110 layers, the test error of residual networks rises: one finding for each shortcut option.

    The deepest network is compared with the deepest of at most 110 layers; the p values are adjusted over the options.
    """
    ends = [
        (moderate[-1], list(by_depth.values())[-1])
        for _, by_depth in sorted(group.residual.items())
        if (moderate := [network for depth, network in by_depth.items() if depth <= PAPER_DEEP])
        and max(by_depth) > PAPER_DEEP
    ]
    if not ends:
        return not_tested(f"residual networks of at most and of more than {PAPER_DEEP} layers with one shortcut option")
    tests = Comparisons.adjusted(compare(*pair, test_error, "test error") for pair in ends)
    findings: list[Finding] = []
    for index, (moderate, deepest) in enumerate(ends):
        own = tests.part([index])
        answer, decisive = own.judge("up")
        if answer == "inconclusive":
            sentence = own.not_significant(decisive[0])
        else:
            sentence = significant(decisive, f"has a {'higher' if answer == 'reproduced' else 'lower'} test error than")
        errors = [
            level(network, measured, quantity)
            for network in (moderate, deepest)
            for measured, quantity in ((train_error, "training error"), (test_error, "test error"))
        ]
        option = f"option {deepest.network.shortcut}"
        findings.append(Finding(answer, sentence, [*errors, *own.evidence], option))
    return findings
