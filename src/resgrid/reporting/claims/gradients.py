"""Claims about gradients."""

from __future__ import annotations

import math
from itertools import groupby

from resgrid.reporting.claims.claim import Finding, Margin, not_tested
from resgrid.reporting.claims.groups import ComparisonGroup, Pair
from resgrid.reporting.contrasts import Contrast, cell_names, judge_equivalence, seed_by_seed
from resgrid.reporting.results import CellResult
from resgrid.reporting.statistics import Sample
from resgrid.reporting.verdicts import Answer

# A gradient has vanished (or exploded) if its norm is below a tenth (above ten times) of that in the same layer of the
# residual counterpart, which trains well.
HEALTHY_GRADIENT = Margin(
    10.0,
    "a factor of 10 in each layer",
    "an order of magnitude, because the paper says only “healthy”",
)

_TINY = 1e-30
_EXPLODED = 1e30
_BOUNDS = f"1/{HEALTHY_GRADIENT.size:g} to {HEALTHY_GRADIENT.size:g} times"
_HEALTHY: dict[Answer, str] = {
    "reproduced": "this lies within",
    "contradicted": "this lies outside",
    "inconclusive": "this is not shown to lie within",
}


def healthy_gradients(group: ComparisonGroup) -> list[Finding]:
    """Gradients of plain networks have healthy norms, so degradation is not due to vanishing gradients.

    For each plain network, recorded step and layer, the gradient's norm over that of the same layer in the residual
    counterpart. The evidence has the layer whose interval is farthest from equal norms, for each network and step.
    """
    first = {pair.depth: pair for pair in reversed(group.pairs)}  # of each depth, the first option
    contrasts = [contrast for depth in sorted(first) for contrast in _layer_by_layer(first[depth])]
    if not contrasts:
        return not_tested("a plain and a residual network of one depth with gradients.csv")
    answer, decisive = judge_equivalence(contrasts, [math.log(HEALTHY_GRADIENT.size)] * len(contrasts))
    extreme = max((contrast for contrast, _ in decisive), key=_farthest)
    nearer = f"; the other {len(contrasts) - 1} ratios are nearer to one" if answer == "reproduced" else ""
    sentence = f"{extreme.change}; {_HEALTHY[answer]} {_BOUNDS}{nearer}."
    by_step = groupby(contrasts, key=lambda contrast: (contrast.second, contrast.quantity.partition(" of ")[0]))
    return [Finding(answer, sentence, [max(layers, key=_farthest).evidence(None) for _, layers in by_step])]


def _layer_by_layer(pair: Pair) -> list[Contrast]:
    """Return a contrast for each step and layer of a plain network; none if a seed lacks the file."""
    cells = seed_by_seed(pair.residual, pair.plain)
    if any("gradients" not in cell.tables for seeds in cells for cell in seeds):
        return []
    norms = [(_log_norms(residual), _log_norms(plain)) for residual, plain in cells]
    return [
        Contrast(
            pair.residual.name,
            pair.plain.name,
            f"gradient norm at step {step:,} of {layer}",
            "times",
            Sample(tuple(plain[step, layer] - residual[step, layer] for residual, plain in norms)),
            cell_names(pair.residual, pair.plain),
        )
        for step, layer in norms[0][1]
        if all((step, layer) in each for seeds in norms for each in seeds)
    ]


def _log_norms(cell: CellResult) -> dict[tuple[int, str], float]:
    """Return logarithms of the gradient norms by step and layer; a norm that is not finite has exploded."""
    table = cell.tables["gradients"]
    columns = (table[column].tolist() for column in ("step", "layer", "gradient_norm"))
    return {
        (step, layer): math.log(max(norm, _TINY) if math.isfinite(norm) else _EXPLODED)
        for step, layer, norm in zip(*columns, strict=True)
    }


def _farthest(contrast: Contrast) -> float:
    """Return the largest distance of the interval from equal norms, in logarithms."""
    return max(map(abs, contrast.difference.interval or (contrast.difference.mean,)))
