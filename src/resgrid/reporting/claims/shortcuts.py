"""Claims about shortcut connections: their gain over plain networks, and their options A, B and C."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np

from resgrid.reporting.claims.claim import Finding, not_tested
from resgrid.reporting.claims.groups import ComparisonGroup, Pair, level, test_error
from resgrid.reporting.contrasts import (
    Comparisons,
    Contrast,
    compare,
    describe,
    judge_equivalence,
)
from resgrid.reporting.formatting import listed
from resgrid.reporting.statistics import Sample
from resgrid.reporting.verdicts import Answer

# Equivalence margin in percentage points of error. The paper calls the differences between options A, B and C of
# ResNet-34 small (section 4.1); the largest is 0.84 points (Table 3: 25.03 to 24.19), here rounded up.
EQUIVALENCE_MARGIN = 1.0

# The paper finds no gain where "the net is not overly deep (18 layers here)" (section 4.1), and gains at 34 layers. Of
# the CIFAR networks, depth 20 is the nearest to 18. Claims about shallow networks are judged up to this depth, claims
# about gains beyond it, so that no two claims ask for opposite outcomes.
NOT_OVERLY_DEEP = 20

SHALLOW_PAIR = f"a plain and a residual network of one depth, with at most {NOT_OVERLY_DEEP} layers"

_MARGIN = f"±{EQUIVALENCE_MARGIN:g} point"
_EQUIVALENCE: dict[Answer, str] = {
    "reproduced": f": equivalent within {_MARGIN}.",
    "contradicted": f": beyond {_MARGIN}.",
    "inconclusive": f"; equivalence within {_MARGIN} is not shown.",
}
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
        sentence = describe(answer, decisive, "test error")
        findings.append(Finding(answer, sentence, [*levels, *here.evidence], f"depth {depth}"))
    return findings


def shallow_pair(group: ComparisonGroup) -> Pair | None:
    """Return the pair nearest to the paper's 18 layers: the deepest that is not overly deep, of the first option.

    Fig. 4 shows option A.
    """
    pairs = [pair for pair in group.pairs if pair.depth <= NOT_OVERLY_DEEP]
    return max(pairs, key=lambda pair: pair.depth, default=None)  # of equal depths, the first


def shallow_equivalent(group: ComparisonGroup) -> list[Finding]:
    """Plain and residual networks that are not overly deep have equivalent test errors.

    Reproduced if the confidence interval of the difference lies within `EQUIVALENCE_MARGIN`; contradicted if the
    difference is significantly beyond.
    """
    pair = shallow_pair(group)
    if pair is None:
        return not_tested(SHALLOW_PAIR)
    contrast = compare(pair.plain, pair.residual, test_error, "test error")
    answer, _ = judge_equivalence(EQUIVALENCE_MARGIN, [contrast])
    levels = [level(network, test_error, "test error") for network in (pair.plain, pair.residual)]
    return [Finding(answer, contrast.change + _EQUIVALENCE[answer], [*levels, contrast.evidence(None)])]


def options_equivalent(group: ComparisonGroup) -> list[Finding]:
    """Shortcut options A, B and C differ little.

    Every two options are compared at every depth that has both. Reproduced if each interval lies within
    `EQUIVALENCE_MARGIN`.
    """
    contrasts = [
        compare(group.residual[first][depth], group.residual[second][depth], test_error, "test error")
        for first, second in combinations(sorted(group.residual), 2)
        for depth in group.residual[first]
        if depth in group.residual[second]
    ]
    if not contrasts:
        return not_tested(_TWO_OPTIONS)
    answer, decisive = judge_equivalence(EQUIVALENCE_MARGIN, contrasts)
    widest = max(decisive, key=lambda contrast: max(map(abs, contrast.interval or (contrast.value,))))
    return [Finding(answer, widest.change + _EQUIVALENCE[answer], [each.evidence(None) for each in contrasts])]


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
    return [Finding(answer, describe(answer, decisive, "test error"), tests.evidence)]


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
