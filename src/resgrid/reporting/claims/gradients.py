"""Claims about gradients."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import pandas as pd

from resgrid.reporting.claims.claim import Finding, not_tested
from resgrid.reporting.claims.groups import ComparisonGroup
from resgrid.reporting.contrasts import Contrast, cell_names, judge_equivalence
from resgrid.reporting.results import NetworkResult
from resgrid.reporting.statistics import Sample
from resgrid.reporting.verdicts import Answer

# A gradient has vanished (or exploded) if the geometric mean of the norms in the first third of the layers is less than
# a hundredth (more than a hundred times) of that in the last third. Networks that train well stay within ten: on
# digits, over 60 steps, between 0.2 and 3.5 for plain8, plain20, resnet20-A and resnet56-A. A signal that halves in
# each layer is beyond a hundred at depth 20.
HEALTHY_GRADIENT = 100.0

_TINY = 1e-30
_EXPLODED = 1e30
_HEALTHY: dict[Answer, str] = {
    "reproduced": "this lies within",
    "contradicted": "this lies outside",
    "inconclusive": "this is not shown to lie within",
}


def healthy_gradients(group: ComparisonGroup) -> list[Finding]:
    """Gradients of plain networks have healthy norms, so degradation is not due to vanishing gradients.

    For each plain network and recorded step, the norm in the first third of the layers over that in the last third.
    Reproduced if every confidence interval lies within `HEALTHY_GRADIENT` either way; contradicted if one lies outside.
    """
    contrasts = [contrast for network in group.plain.values() for contrast in _first_over_last_third(network)]
    if not contrasts:
        return not_tested("plain networks with gradients.csv")
    answer, decisive = judge_equivalence(math.log(HEALTHY_GRADIENT), contrasts)
    extreme = max(decisive, key=lambda contrast: abs(contrast.difference.mean))
    bounds = f"1/{HEALTHY_GRADIENT:g} to {HEALTHY_GRADIENT:g} times"
    others = "; the other ratios are nearer to one" if len(contrasts) > 1 and answer == "reproduced" else ""
    sentence = f"{extreme.change}; {_HEALTHY[answer]} {bounds}{others}."
    return [Finding(answer, sentence, [contrast.evidence(None) for contrast in contrasts])]


def _first_over_last_third(network: NetworkResult) -> list[Contrast]:
    """Return one contrast for each step that every seed has; none if a seed lacks the file."""
    ratios = [_log_ratios(cell.tables["gradients"]) for cell in network.cells if "gradients" in cell.tables]
    if len(ratios) < len(network.cells):
        return []
    return [
        Contrast(
            "the last third",
            f"the first third of {network.name}'s layers",
            f"gradient norm at step {step:,}",
            "times",
            Sample(tuple(by_step[step] for by_step in ratios)),
            cell_names(network),
        )
        for step in sorted(set.intersection(*map(set, ratios)))
    ]


def _log_ratios(gradients: pd.DataFrame) -> dict[int, float]:
    """Return, by step, the logarithm of the first third's geometric mean norm over the last third's."""
    ratios: dict[int, float] = {}
    for step, layers in gradients.sort_values("index").groupby("step"):
        norms = layers["gradient_norm"].to_numpy(dtype=float)
        if np.isfinite(norms).all():
            logarithms, third = np.log(np.maximum(norms, _TINY)), max(1, len(norms) // 3)
            ratios[cast("int", step)] = float(logarithms[:third].mean() - logarithms[-third:].mean())
        else:
            ratios[cast("int", step)] = math.log(_EXPLODED)
    return ratios
