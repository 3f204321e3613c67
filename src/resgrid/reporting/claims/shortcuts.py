"""Claims about shortcut connections: their gain over plain networks, and their options A, B and C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np

from resgrid.reporting.claims.claim import Finding, Margin, not_tested
from resgrid.reporting.claims.groups import ComparisonGroup, Pair, level, test_error
from resgrid.reporting.contrasts import Comparisons, Contrast, compare, judge_equivalence
from resgrid.reporting.formatting import listed
from resgrid.reporting.planning import pooled_spread, provable_margin
from resgrid.reporting.results import NetworkResult
from resgrid.reporting.statistics import FEWEST_SEEDS, Sample

# Equivalence margins are shares of an error: a point is much where errors are 1%, and little where they are 30%.
SHALLOW_MARGIN = Margin(
    0.06,
    "±6% of the plain network's test error",
    "half of the reduction from 28.54% to 25.03%, or 12.3%, at 34 layers, which the paper counts as a gain (Table 2)",
)
OPTIONS_MARGIN = Margin(
    0.04,
    "±4% of the test error with the first option",
    "the largest difference that the paper calls small, rounded up: from 25.03% to 24.19%, or 3.4%, for ResNet-34 with "
    "A and with C (Table 3)",
)

# The paper finds no gain where "the net is not overly deep (18 layers here)" (section 4.1), and gains at 34 layers. Of
# the CIFAR networks, depth 20 is the nearest to 18. Claims about shallow networks are judged up to this depth, claims
# about gains beyond it, so that no two claims ask for opposite outcomes.
NOT_OVERLY_DEEP = 20

SHALLOW_PAIR = f"a plain and a residual network of one depth, with at most {NOT_OVERLY_DEEP} layers"

_TINY = 1e-9  # points; the margin of a network without errors
_TWO_OPTIONS = "residual networks of one depth with two shortcut options"


def shortcuts_help(group: ComparisonGroup) -> list[Finding]:
    """A deep residual network has a lower test error than its plain counterpart: one finding for each depth.

    Deep is more than `NOT_OVERLY_DEEP` layers. Reproduced if the error is lower with every option; contradicted if it
    is higher with one. The p values are adjusted over all depths and options.
    """
    pairs = [pair for pair in group.pairs if pair.depth > NOT_OVERLY_DEEP]
    if not pairs:
        return not_tested(f"a plain and a residual network of one depth, with more than {NOT_OVERLY_DEEP} layers")
    tests = Comparisons.adjusted(compare(pair.plain, pair.residual, test_error, "test error") for pair in pairs)
    findings: list[Finding] = []
    for depth in dict.fromkeys(pair.depth for pair in pairs):
        indices = [index for index, pair in enumerate(pairs) if pair.depth == depth]
        networks = [group.plain[depth], *(pairs[index].residual for index in indices)]
        levels = [level(network, test_error, "test error") for network in networks]
        here = tests.part(indices)
        answer, decisive = here.judge("down")
        sentence = here.describe(answer, decisive, "test error")
        findings.append(Finding(answer, sentence, [*levels, *here.evidence], f"depth {depth}"))
    return findings


def shallow_pair(group: ComparisonGroup) -> Pair | None:
    """Return the pair nearest to the paper's 18 layers: the deepest that is not overly deep, of the first option.

    Fig. 4 shows option A.
    """
    pairs = [pair for pair in group.pairs if pair.depth <= NOT_OVERLY_DEEP]
    return max(pairs, key=lambda pair: pair.depth, default=None)  # of equal depths, the first


def shallow_equivalent(group: ComparisonGroup) -> list[Finding]:
    """Plain and residual networks that are not overly deep have equivalent test errors, within `SHALLOW_MARGIN`."""
    pair = shallow_pair(group)
    if pair is None:
        return not_tested(SHALLOW_PAIR)
    levels = [level(network, test_error, "test error") for network in (pair.plain, pair.residual)]
    found = _equivalent([(pair.plain, pair.residual)], SHALLOW_MARGIN)
    return [replace(found, evidence=[*levels, *found.evidence])]


def options_equivalent(group: ComparisonGroup) -> list[Finding]:
    """Shortcut options A, B and C differ little.

    Every two options are compared at every depth that has both, with `OPTIONS_MARGIN`.
    """
    pairs = [
        (group.residual[first][depth], group.residual[second][depth])
        for first, second in combinations(sorted(group.residual), 2)
        for depth in group.residual[first]
        if depth in group.residual[second]
    ]
    return [_equivalent(pairs, OPTIONS_MARGIN)] if pairs else not_tested(_TWO_OPTIONS)


def _equivalent(pairs: Sequence[tuple[NetworkResult, NetworkResult]], margin: Margin) -> Finding:
    """Judge whether all pairs are equivalent, within a share of the first network's mean test error."""
    contrasts = [compare(*pair, test_error, "test error") for pair in pairs]
    margins = [margin.size * first.errors["test_error"].mean for first, _ in pairs]
    answer, decisive = judge_equivalence(contrasts, margins)
    widest, allowed = max(decisive, key=lambda pair: _reach(pair[0]) / max(pair[1], _TINY))
    within = f"±{allowed:.2f} points ({margin.size:.0%} of {widest.first}'s)"
    ending = {
        "reproduced": f": equivalent within {within}.",
        "contradicted": f": beyond {within}.",
        "inconclusive": f"; equivalence within {within} is not shown{_needed_for_equivalence(contrasts)}.",
    }
    return Finding(answer, widest.change + ending[answer], [each.evidence(None) for each in contrasts])


def _reach(contrast: Contrast) -> float:
    """Return the largest distance of the interval from zero."""
    return max(map(abs, contrast.interval or (contrast.value,)))


def _needed_for_equivalence(contrasts: Sequence[Contrast]) -> str:
    """Return the margin for which the seeds would suffice, as the end of a sentence; empty if it is unknown."""
    n, spread = contrasts[0].differences.n, pooled_spread(contrast.differences for contrast in contrasts)
    if n < FEWEST_SEEDS or spread is None:
        return ""
    lowest = provable_margin(n, spread)
    low, high = lowest.interval
    return (
        f". With {n} seeds, 80% power needs a margin of ±{lowest.difference:.2f} points "
        f"(95% confidence interval {low:.2f} to {high:.2f})"
    )


def options_order(group: ComparisonGroup) -> list[Finding]:
    """Option B is slightly better than A, and C marginally better than B.

    Each step is averaged over the depths that have both options, seed by seed. Reproduced if every step lowers the test
    error; contradicted if one step, or A to C, raises it.
    """
    options = sorted(group.residual)
    steps = [step for step in (_over_depths(group, *options) for options in pairwise(options)) if step is not None]
    if not steps:
        return not_tested(_TWO_OPTIONS)
    whole = _over_depths(group, options[0], options[-1]) if len(options) > 2 else None
    tests = Comparisons.adjusted([*steps, *([whole] if whole else [])])
    answer, decisive = tests.judge("down")
    if answer != "contradicted":  # the whole way, A to C, can only contradict
        answer, decisive = tests.part(range(len(steps))).judge("down")
    return [Finding(answer, tests.describe(answer, decisive, "test error"), tests.evidence)]


def _over_depths(group: ComparisonGroup, first: str, second: str) -> Contrast | None:
    """Compare two options over all the depths that have both; None if there are none."""
    depths = [depth for depth in group.residual[first] if depth in group.residual[second]]
    if not depths:
        return None
    contrasts = [
        compare(group.residual[first][depth], group.residual[second][depth], test_error, "") for depth in depths
    ]
    by_seed = np.mean([contrast.differences.values for contrast in contrasts], axis=0)
    where = f"depth {depths[0]}" if len(depths) == 1 else f"mean of depths {listed([str(depth) for depth in depths])}"
    cells = tuple(cell for contrast in contrasts for cell in contrast.cells)
    sample = Sample(tuple(by_seed.tolist()))
    return Contrast(f"option {first}", f"option {second}", f"test error ({where})", "points", sample, cells)
