"""How often verdicts are wrong: claims judged on synthetic grids without an effect.

    python -m benchmarks.error_rates 400 "3 seeds, 20% fail" "5 seeds, 20% fail"

prints the share of wrong verdicts by claim, as the table of docs/evidence.md; without names, for all conditions.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence

from resgrid.reporting.claims import CLAIMS, judge
from resgrid.reporting.claims.gradients import HEALTHY_GRADIENT
from resgrid.reporting.claims.shortcuts import OPTIONS_MARGIN, SHALLOW_MARGIN
from resgrid.reporting.ensembles import Ensemble
from resgrid.reporting.results import Results
from tests.support.synthetic import Maker, Truth

# No network differs from another.
EQUAL: Mapping[str, Truth] = dict.fromkeys(
    ("plain8", "plain20", "plain32", "resnet8-A", "resnet20-A", "resnet20-B", "resnet32-A", "resnet1202-A"),
    Truth(5, 7),
)
# The networks of each claim about equivalence differ exactly by its margin, which is not equivalent and not beyond.
AT_THE_MARGIN: Mapping[str, Mapping[str, Truth]] = {
    "gradients": {"plain20": Truth(5, 7, gradient=HEALTHY_GRADIENT.size), "resnet20-A": Truth(5, 7)},
    "shallow-equivalent": {"plain20": Truth(5, 7), "resnet20-A": Truth(5, 7 * (1 + SHALLOW_MARGIN.size))},
    "options-equivalent": {"resnet20-A": Truth(5, 7), "resnet20-B": Truth(5, 7 * (1 + OPTIONS_MARGIN.size))},
}
MEMBERS = 3  # of each ensemble

# By name: the number of seeds, and how the runs vary.
CONDITIONS: Mapping[str, tuple[int, Maker]] = {
    "3 seeds": (3, Maker(0, noise=0.5)),
    "5 seeds": (5, Maker(1, noise=0.5)),
    "5 seeds, noise of one test image": (5, Maker(2, noise=0.05)),
    "3 seeds, 20% fail": (3, Maker(3, noise=0.5, failing=0.2)),
    "5 seeds, 20% fail": (5, Maker(4, noise=0.5, failing=0.2)),
    "10 seeds, 20% fail": (10, Maker(5, noise=0.5, failing=0.2)),
    "5 seeds, 50% fail": (5, Maker(6, noise=0.5, failing=0.5)),
    "5 seeds, heavy tails": (5, Maker(7, noise=0.5, heavy_tails=True)),
}


def count_wrong(maker: Maker, seeds: int, grids: int) -> Counter[str]:
    """Count, by claim, the grids without an effect on which a verdict was given either way."""
    wrong = Counter[str]({claim.key: 0 for claim in CLAIMS})
    for _ in range(grids):
        decided = _decided(maker.grid(EQUAL, seeds, analyses=True)) - AT_THE_MARGIN.keys()
        for claim, truths in AT_THE_MARGIN.items():
            decided |= _decided(maker.grid(truths, seeds, analyses=claim == "gradients")) & {claim}
        ensemble = maker.ensemble([10.0] * MEMBERS, 10.0)
        decided |= _decided(Results(()), [ensemble])
        wrong.update(decided)
    return wrong


def _decided(results: Results, ensembles: Sequence[Ensemble] = ()) -> set[str]:
    """Return the claims with a verdict either way."""
    verdicts = judge(results, ensembles)
    return {verdict.claim for verdict in verdicts if verdict.answer in ("reproduced", "contradicted")}


def main() -> None:
    """Print the table."""
    grids, names = int(sys.argv[1]), sys.argv[2:] or list(CONDITIONS)
    wrong = [count_wrong(maker, seeds, grids) for seeds, maker in map(CONDITIONS.__getitem__, names)]
    rows = [f"| claim, share of {grids:,} grids in percent | " + " | ".join(names) + " |"]
    rows.append("|---|" + "---:|" * len(names))
    for claim in CLAIMS:
        shares = (f"{100 * each[claim.key] / grids:.1f}" for each in wrong)
        rows.append(f"| `{claim.key}` | {' | '.join(shares)} |")
    sys.stdout.write("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
