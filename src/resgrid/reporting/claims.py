"""The paper's claims as rules that read the results and answer with numbers, intervals and one plain sentence.

Every comparison is made seed by seed (`paired_difference`), at 5 % two-sided. Where a claim takes several comparisons,
their p are adjusted by Holm's method within the claim, so that each claim errs with a chance of at most 5 %; the claims
are different questions, asked before any data were seen, and nothing is adjusted over them. Intervals are 95 % each,
unadjusted. That two networks are alike is answered by an interval within a margin, never by a lack of significance.
docs/evidence.md has every rule in plain words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from resgrid.names import PlainOrResidual
from resgrid.reporting.contrasts import (
    Contrast,
    Measured,
    adjust,
    adjusted,
    all_go,
    all_within,
    cell_names,
    compare,
    compare_ratio,
    decided,
    goes,
    least_clear,
    undecided,
)
from resgrid.reporting.ensembles import Ensemble
from resgrid.reporting.formatting import estimate, listed
from resgrid.reporting.results import CellResult, NetworkResult, Results
from resgrid.reporting.statistics import ALPHA, Difference, Spread, paired_difference
from resgrid.reporting.verdicts import Answer, Evidence, Verdict

# Percentage points of error within which networks count as alike. The paper calls the differences between options A, B
# and C of ResNet-34 small (section 4.1); the largest of them is 0.84 points (Table 3: 25.03 to 24.19), here rounded up.
EQUIVALENCE_MARGIN = 1.0

# The paper compares convergence where "the net is not overly deep (18 layers here)" (section 4.1); of the CIFAR
# networks, depth 20 is the nearest.
NOT_OVERLY_DEEP = 20

# Convergence is timed to an error half as high again as the one that every run reaches before the rate first drops,
# well above the level at which the noise of single validations decides who is first; after short runs halfway between
# that error and guessing, if that is lower.
EARLY_TARGET = 1.5

# A gradient counts as vanished (or exploded) where the geometric mean of the norms in the first third of the layers is
# less than a hundredth (more than a hundred times) of that in the last third. Networks that train well stay within ten:
# measured on digits, over 60 steps, between 0.2 and 3.5 for plain8, plain20, resnet20-A and resnet56-A. A signal that
# loses half its size in each layer is beyond a hundred at depth 20.
HEALTHY_GRADIENT = 100.0

_TINY = 1e-30
_LARGE = 1e30


def judge(results: Results, ensembles: Sequence[Ensemble] = ()) -> list[Verdict]:
    """Every claim, in the paper's order.

    Networks with a modifier (`plain20-sigmoid`, `resnet20-A-preact`) are compared with their like, in verdicts of
    their own; networks of other families are no subject of the claims.

    Args:
        ensembles: of `read_ensembles`; without them the claim about ensembles is not tested.
    """
    verdicts: list[Verdict] = []
    for number, kin in enumerate(_kinships(results)):
        of_kin = [verdict for rule in _RULES for verdict in rule(kin)]
        verdicts += [verdict for verdict in of_kin if number == 0 or verdict.answer != "not tested"]
    return [*verdicts, *_ensembles_win(ensembles)]


@dataclass(frozen=True)
class _Kinship:
    """Networks that differ in depth and shortcut option alone.

    Attributes:
        modifier: what their names have in common beyond that: empty for the paper's own.
        plain: by depth, from shallow to deep.
        residual: by option, then by depth.
    """

    modifier: str
    plain: dict[int, NetworkResult]
    residual: dict[str, dict[int, NetworkResult]]

    @property
    def twins(self) -> list[tuple[int, str, NetworkResult, NetworkResult]]:
        """Depth, option, the plain network and its residual twin; from shallow to deep."""
        return sorted(
            (
                (depth, option, self.plain[depth], network)
                for option, group in self.residual.items()
                for depth, network in group.items()
                if depth in self.plain
            ),
            key=lambda twin: twin[:2],
        )

    def verdict(
        self, key: str, title: str, source: str, answer: Answer, sentence: str, evidence: Iterable[Evidence] = ()
    ) -> Verdict:
        if self.modifier:
            key, title = f"{key}-{self.modifier}", f"{title} ({self.modifier})"
        return Verdict(key, title, source, answer, sentence, tuple(evidence))


def _kinships(results: Results) -> list[_Kinship]:
    """The paper's own networks first, whether there are any or not."""
    kinships = {"": _Kinship("", {}, {})}
    for result in results.by_depth:
        network = result.network
        if not isinstance(network, PlainOrResidual):
            continue
        kin = kinships.setdefault(network.modifier, _Kinship(network.modifier, {}, {}))
        by_depth = kin.plain if network.shortcut == "none" else kin.residual.setdefault(network.shortcut, {})
        by_depth[network.depth] = result
    own = kinships[""]
    if not own.plain and not own.residual and len(kinships) > 1:
        del kinships[""]
    return list(kinships.values())


def _train_error(cell: CellResult) -> float:
    return cell.train.train_error


def _test_error(cell: CellResult) -> float:
    return cell.test.test_error


def _level(network: NetworkResult, measured: Measured, what: str) -> Evidence:
    spread = Spread(tuple(measured(cell) for cell in network.cells))
    return Evidence(f"{network.name}, {what}", spread.mean, spread.interval, "%", None, cell_names(network))


def _degradation(kin: _Kinship) -> list[Verdict]:
    """Deeper plain networks have a higher training error (section 1 with Fig. 1, section 4.2 with Fig. 6).

    The deepest plain network against each shallower one: it could be no worse than any of them, since the added
    layers could be identities. Reproduced if it is worse than at least one; contradicted if better than all.
    """
    key, title = "degradation", "Deeper plain networks have a higher training error"
    source = "section 1, Fig. 1; section 4.2, Fig. 6"
    if len(kin.plain) < 2:
        return [kin.verdict(key, title, source, "not tested", "It would take plain networks of at least two depths.")]
    *shallower, deepest = kin.plain.values()
    contrasts = [compare(network, deepest, _train_error, "training error") for network in shallower]
    ps = adjusted(contrasts)
    ways = [goes(contrast, p) for contrast, p in zip(contrasts, ps, strict=True)]
    risen = [contrast for contrast, way in zip(contrasts, ways, strict=True) if way == "up"]
    if risen:
        clearest = max(risen, key=lambda contrast: contrast.difference.mean)
        answer = "reproduced"
        sentence = f"{deepest.name} has a higher training error than {clearest.first}: {clearest.text}."
    elif all(way == "down" for way in ways):
        nearest = max(contrasts, key=lambda contrast: contrast.difference.mean)
        answer = "contradicted"
        sentence = (
            f"{deepest.name} has a lower training error than every shallower plain network; "
            f"nearest comes {nearest.first}: {nearest.text}."
        )
    else:
        answer = "inconclusive"
        sentence = least_clear([each for each, way in zip(contrasts, ways, strict=True) if way == "undecided"])
    levels = [_level(network, _train_error, "training error") for network in kin.plain.values()]
    rows = [contrast.evidence(p) for contrast, p in zip(contrasts, ps, strict=True)]
    return [kin.verdict(key, title, source, answer, sentence, [*levels, *rows])]


def _not_overfitting(kin: _Kinship) -> list[Verdict]:
    """Degradation is no overfitting: the training error rises with the test error (section 1, Fig. 1).

    The deepest plain network against each shallower one. Reproduced if both errors are higher for one of them;
    contradicted if for one the test error is higher and the training error lower.
    """
    key, title, source = "not-overfitting", "The degradation is not overfitting", "section 1, Fig. 1"
    if len(kin.plain) < 2:
        return [kin.verdict(key, title, source, "not tested", "It would take plain networks of at least two depths.")]
    *shallower, deepest = kin.plain.values()
    tests = [compare(network, deepest, _test_error, "test error") for network in shallower]
    trains = [compare(network, deepest, _train_error, "training error") for network in shallower]
    # Both must be shown, so the larger p speaks for the pair (Berger's intersection-union test, 1982).
    both = [
        None if test.difference.p is None or train.difference.p is None else max(test.difference.p, train.difference.p)
        for test, train in zip(tests, trains, strict=True)
    ]
    ps = adjust(both)
    pairs = list(zip(tests, trains, ps, strict=True))
    rise = [pair for pair in pairs if goes(pair[0], pair[2]) == "up"]
    together = [pair for pair in rise if pair[1].difference.mean > 0]
    if together:
        test, train, _ = max(together, key=lambda pair: pair[0].difference.mean)
        answer = "reproduced"
        sentence = f"From {test.first} to {test.second} both rise: the training error by {train.text}, "
        sentence += f"the test error by {test.text}."
    elif rise:
        test, train, _ = max(rise, key=lambda pair: pair[0].difference.mean)
        answer = "contradicted"
        sentence = f"From {test.first} to {test.second} the training error falls, {train.text}, "
        sentence += f"while the test error rises, {test.text}: this looks like overfitting."
    else:
        test, train, _ = max(pairs, key=lambda pair: pair[0].difference.mean)
        answer = "inconclusive"
        sentence = f"From {test.first} to {test.second} the training error changes by {train.text} and the test error "
        sentence += f"by {test.text}, which don't both decide."
    rows = [contrast.evidence(p) for test, train, p in pairs for contrast in (train, test)]
    return [kin.verdict(key, title, source, answer, sentence, rows)]


def _gradients_are_healthy(kin: _Kinship) -> list[Verdict]:
    """Plain networks' gradients have healthy norms, so degradation is not due to vanishing (section 4.1).

    For each plain network and recorded step: the norm in the first third of its layers over that in the last third.
    Reproduced if every interval lies within `HEALTHY_GRADIENT` either way; contradicted if one lies outside.
    """
    key, title, source = "gradients", "Gradients of plain networks have healthy norms", "section 4.1, plain networks"
    contrasts = [contrast for network in kin.plain.values() for contrast in _first_over_last_layers(network)]
    if not contrasts:
        missing = "It would take plain networks with gradients.csv."
        return [kin.verdict(key, title, source, "not tested", missing)]
    answer, decisive = all_within(math.log(HEALTHY_GRADIENT), contrasts)
    extreme = max(decisive, key=lambda contrast: abs(contrast.difference.mean))
    sentence = f"The {extreme.what} of the {extreme.second} is {extreme.text} that of the {extreme.first}, which "
    sentence += f"{_HEALTHY[answer]} between 1/{HEALTHY_GRADIENT:g} and {HEALTHY_GRADIENT:g} times"
    sentence += "; the others are more even." if len(contrasts) > 1 and answer == "reproduced" else "."
    rows = [contrast.evidence(None) for contrast in contrasts]
    return [kin.verdict(key, title, source, answer, sentence, rows)]


_HEALTHY: dict[Answer, str] = {
    "reproduced": "lies",
    "contradicted": "doesn't lie",
    "inconclusive": "isn't shown to lie",
}


def _first_over_last_layers(network: NetworkResult) -> list[Contrast]:
    """One for each step that every seed has; empty if a seed lacks the file."""
    ratios = [_gradient_ratios(cell.tables["gradients"]) for cell in network.cells if "gradients" in cell.tables]
    if len(ratios) < len(network.cells):
        return []
    return [
        Contrast(
            f"last third of {network.name}'s layers",
            "first third",
            f"gradient's norm at step {step:,}",
            "times",
            Spread(tuple(by_step[step] for by_step in ratios)),
            cell_names(network),
        )
        for step in sorted(set.intersection(*map(set, ratios)))
    ]


def _gradient_ratios(gradients: pd.DataFrame) -> dict[int, float]:
    """By step: the logarithm of the norm in the first third of the layers over that in the last, geometric means."""
    ratios: dict[int, float] = {}
    for step, layers in gradients.sort_values("index").groupby("step"):
        norms = layers["gradient_norm"].to_numpy(dtype=float)
        if np.isfinite(norms).all():
            logarithms, third = np.log(np.maximum(norms, _TINY)), max(1, len(norms) // 3)
            ratios[cast("int", step)] = float(logarithms[:third].mean() - logarithms[-third:].mean())
        else:
            ratios[cast("int", step)] = math.log(_LARGE)  # a norm that is no number has exploded
    return ratios


def _shortcuts_help(kin: _Kinship) -> list[Verdict]:
    """A residual network beats its plain twin (section 4.1 with Table 2, section 4.2 with Fig. 6): one verdict a depth.

    Reproduced if each option's twin has the lower test error; contradicted if one has a higher. The p are adjusted over
    the twins of all depths.
    """
    source = "section 4.1, Table 2; section 4.2, Fig. 6"
    if not kin.twins:
        missing = "It would take a plain and a residual network of one depth."
        title = "A residual network beats its plain twin"
        return [kin.verdict("shortcuts-help", title, source, "not tested", missing)]
    contrasts = [compare(plain, residual, _test_error, "test error") for _, _, plain, residual in kin.twins]
    ps = adjusted(contrasts)
    verdicts: list[Verdict] = []
    for depth in sorted({depth for depth, *_ in kin.twins}):
        here = [index for index, twin in enumerate(kin.twins) if twin[0] == depth]
        parts, parts_ps = [contrasts[index] for index in here], [ps[index] for index in here]
        answer, decisive = all_go("down", parts, parts_ps)
        match answer:
            case "reproduced":
                sentence = decided(decisive, "has a lower test error than")
            case "contradicted":
                sentence = decided(decisive, "has a higher test error than")
            case _:
                sentence = least_clear(decisive)
        twins = [kin.plain[depth], *(twin[3] for twin in kin.twins if twin[0] == depth)]
        levels = [_level(network, _test_error, "test error") for network in twins]
        rows = [contrast.evidence(p) for contrast, p in zip(parts, parts_ps, strict=True)]
        title = f"At depth {depth}, a residual network beats its plain twin"
        verdicts.append(kin.verdict(f"shortcuts-help-{depth}", title, source, answer, sentence, [*levels, *rows]))
    return verdicts


def _shallow_pair(kin: _Kinship) -> tuple[NetworkResult, NetworkResult] | None:
    """The shallowest plain network with its twin, of option A (as in Fig. 4) where there are several."""
    return next((twin[2:] for twin in kin.twins if twin[0] <= NOT_OVERLY_DEEP), None)


_NO_SHALLOW_PAIR = f"It would take a plain and a residual network of one depth, of at most {NOT_OVERLY_DEEP} layers."


def _shallow_twins_end_alike(kin: _Kinship) -> list[Verdict]:
    """Plain and residual networks that aren't overly deep end alike (section 4.1, 18 layers: Table 2 and Fig. 4).

    Reproduced if the interval of the test errors' difference lies within `EQUIVALENCE_MARGIN`, contradicted if outside.
    """
    key, title = "shallow-alike", "A shallow plain network and its residual twin end alike"
    source = "section 4.1, Table 2 and Fig. 4 (18 layers)"
    pair = _shallow_pair(kin)
    if pair is None:
        return [kin.verdict(key, title, source, "not tested", _NO_SHALLOW_PAIR)]
    contrast = compare(*pair, _test_error, "test error")
    answer, _ = all_within(EQUIVALENCE_MARGIN, [contrast])
    sentence = f"The test error of {contrast.second} differs from that of {contrast.first} by {contrast.text}"
    levels = [_level(network, _test_error, "test error") for network in pair]
    sentence += _ALIKE[answer]
    return [kin.verdict(key, title, source, answer, sentence, [*levels, contrast.evidence(None)])]


_MARGIN = f"±{EQUIVALENCE_MARGIN:g} point"
_ALIKE: dict[Answer, str] = {
    "reproduced": f", within {_MARGIN}.",
    "contradicted": f", beyond {_MARGIN}.",
    "inconclusive": f", which isn't shown to lie within {_MARGIN}.",
}


def _shallow_twin_converges_faster(kin: _Kinship) -> list[Verdict]:
    """The residual one of two shallow twins converges faster at the early stage (section 4.1, Fig. 4).

    Steps until the validation error, interpolated between validations, first is at one target for all runs: see
    `EARLY_TARGET`. Not tested where a run is no better than guessing until the learning rate drops.
    """
    key, title = "shallow-faster", "A shallow residual network converges faster than its plain twin"
    source = "section 4.1, Fig. 4 (18 layers)"
    pair = _shallow_pair(kin)
    if pair is None:
        return [kin.verdict(key, title, source, "not tested", _NO_SHALLOW_PAIR)]
    cells = [cell for network in pair for cell in network.cells]
    reached = max(float(_errors_before_the_rate_drops(cell.curve).min()) for cell in cells)
    guessing = 100.0 * (1.0 - 1.0 / len(cells[0].confusion))
    if reached >= guessing:
        missing = "A run of the pair is no better than guessing until the learning rate drops."
        return [kin.verdict(key, title, source, "not tested", missing)]
    target = min(EARLY_TARGET * reached, (reached + guessing) / 2.0)
    what = f"number of steps to a validation error of {target:.2f} %"
    contrast = compare_ratio(*pair, lambda cell: steps_to(cell.curve, target), what)
    ps = adjusted([contrast])
    answer, _ = all_go("down", [contrast], ps)
    match answer:
        case "inconclusive":
            sentence = undecided(contrast)
        case _:
            sentence = f"To a validation error of {target:.2f} %, {contrast.second} takes {contrast.text} the steps "
            sentence += f"of {contrast.first}."
    return [kin.verdict(key, title, source, answer, sentence, [contrast.evidence(ps[0])])]


def _errors_before_the_rate_drops(curve: pd.DataFrame) -> NDArray[np.float64]:
    """Validation errors before the learning rate first falls; a warm-up is a rise."""
    rates = curve["lr"].to_numpy(dtype=float)
    falls = np.flatnonzero(np.diff(rates) < 0)
    return curve["val/error"].to_numpy(dtype=float)[: falls[0] + 1 if falls.size else None]


def steps_to(curve: pd.DataFrame, target: float) -> float:
    """Steps until the validation error first is at or below `target`, in percent.

    Linear between two validations; the first validation's step if it is there already.

    Raises:
        ValueError: the curve never gets there.
    """
    steps, errors = curve["step"].to_numpy(dtype=float), curve["val/error"].to_numpy(dtype=float)
    reached = np.flatnonzero(errors <= target)
    if not reached.size:
        raise ValueError(f"target {target}: the curve's lowest validation error is {errors.min()}")
    index = int(reached[0])
    if index == 0:
        return float(steps[0])
    before, after = errors[index - 1], errors[index]
    return float(steps[index - 1] + (steps[index] - steps[index - 1]) * (before - target) / (before - after))


def _options_differ_little(kin: _Kinship) -> list[Verdict]:
    """Shortcut options A, B and C differ little (section 4.1, Table 3).

    Every two options at every depth that has them. Reproduced if each interval lies within `EQUIVALENCE_MARGIN`.
    """
    key, title = "options-alike", "Shortcut options A, B and C differ little"
    source = "section 4.1, Table 3"
    contrasts = [
        compare(kin.residual[first][depth], kin.residual[second][depth], _test_error, "test error")
        for first, second in combinations(sorted(kin.residual), 2)
        for depth in kin.residual[first]
        if depth in kin.residual[second]
    ]
    if not contrasts:
        missing = "It would take residual networks of one depth with two shortcut options."
        return [kin.verdict(key, title, source, "not tested", missing)]
    answer, decisive = all_within(EQUIVALENCE_MARGIN, contrasts)
    widest = max(decisive, key=lambda contrast: max(map(abs, contrast.interval or (contrast.value,))))
    sentence = f"The test errors of {widest.first} and {widest.second} differ by {widest.text}{_ALIKE[answer]}"
    return [kin.verdict(key, title, source, answer, sentence, [each.evidence(None) for each in contrasts])]


def _options_order(kin: _Kinship) -> list[Verdict]:
    """B is slightly better than A, and C marginally better than B (section 4.1, Table 3).

    Each step is averaged over the depths that have both options, seed by seed. Reproduced if every step lowers the test
    error; contradicted if one, or the whole way, raises it.
    """
    key, title, source = "options-order", "Option B beats A, and C beats B", "section 4.1, Table 3"
    options = sorted(kin.residual)
    steps = [step for step in (_over_depths(kin, *pair) for pair in pairwise(options)) if step is not None]
    if not steps:
        missing = "It would take residual networks of one depth with two shortcut options."
        return [kin.verdict(key, title, source, "not tested", missing)]
    whole = _over_depths(kin, options[0], options[-1]) if len(options) > 2 else None
    contrasts = [*steps, *([whole] if whole else [])]
    ps = adjusted(contrasts)
    ways = [goes(contrast, p) for contrast, p in zip(contrasts, ps, strict=True)]
    raised = [contrast for contrast, way in zip(contrasts, ways, strict=True) if way == "up"]
    if raised:
        answer, sentence = "contradicted", decided(raised, "has a higher test error than")
    elif all(way == "down" for way in ways[: len(steps)]):
        answer, sentence = "reproduced", decided(steps, "has a lower test error than")
    else:
        answer = "inconclusive"
        sentence = least_clear([each for each, way in zip(steps, ways, strict=False) if way == "undecided"])
    rows = [contrast.evidence(p) for contrast, p in zip(contrasts, ps, strict=True)]
    return [kin.verdict(key, title, source, answer, sentence, rows)]


def _over_depths(kin: _Kinship, first: str, second: str) -> Contrast | None:
    """Two options compared over all the depths that have both."""
    depths = [depth for depth in kin.residual[first] if depth in kin.residual[second]]
    if not depths:
        return None
    contrasts = [compare(kin.residual[first][depth], kin.residual[second][depth], _test_error, "") for depth in depths]
    by_seed = np.mean([contrast.differences.values for contrast in contrasts], axis=0)
    where = f"depth {depths[0]}" if len(depths) == 1 else f"mean of depths {listed([str(depth) for depth in depths])}"
    cells = tuple(cell for contrast in contrasts for cell in contrast.cells)
    spread = Spread(tuple(by_seed.tolist()))
    return Contrast(f"option {first}", f"option {second}", f"test error ({where})", "points", spread, cells)


def _deeper_is_better(kin: _Kinship) -> list[Verdict]:
    """Deeper residual networks have a lower error (section 4.2, Table 6): one verdict for each shortcut option.

    The deepest against the shallowest; the steps between are evidence that decides nothing. The p are adjusted over the
    options.
    """
    source = "section 4.1, Table 2; section 4.2, Table 6"
    groups = {option: list(group.values()) for option, group in sorted(kin.residual.items()) if len(group) > 1}
    if not groups:
        missing = "It would take residual networks of two depths with one shortcut option."
        title = "Deeper residual networks have a lower error"
        return [kin.verdict("residual-depth", title, source, "not tested", missing)]
    contrasts = {option: compare(group[0], group[-1], _test_error, "test error") for option, group in groups.items()}
    ps = dict(zip(groups, adjusted(list(contrasts.values())), strict=True))
    verdicts: list[Verdict] = []
    for option, contrast in contrasts.items():
        answer, _ = all_go("down", [contrast], [ps[option]])
        match answer:
            case "reproduced":
                sentence = decided([contrast], "has a lower test error than")
            case "contradicted":
                sentence = decided([contrast], "has a higher test error than")
            case _:
                sentence = undecided(contrast)
        group = groups[option]
        levels = [_level(network, _test_error, "test error") for network in group]
        steps = [compare(*step, _test_error, "test error").evidence(None) for step in pairwise(group)]
        rows = [*levels, *(steps if len(group) > 2 else []), contrast.evidence(ps[option])]
        title = f"Deeper residual networks have a lower error (option {option})"
        verdicts.append(kin.verdict(f"residual-depth-{option}", title, source, answer, sentence, rows))
    return verdicts


def _responses_are_smaller(kin: _Kinship) -> list[Verdict]:
    """Residual networks respond less than their plain twins (section 4.2, Fig. 7).

    The mean over the layers of their responses' deviation, residual over plain. Reproduced if every twin's is lower,
    contradicted if one's is higher.
    """
    key, title = "responses-smaller", "Residual networks have smaller responses than plain ones"
    twins = [(plain, residual) for _, _, plain, residual in kin.twins if _has_responses(plain, residual)]
    if not twins:
        missing = "It would take a plain and a residual network of one depth with responses.csv."
        return [kin.verdict(key, title, _FIGURE_7, "not tested", missing)]
    return [_responses(kin, key, title, twins)]


def _responses_shrink_with_depth(kin: _Kinship) -> list[Verdict]:
    """Deeper residual networks respond less (section 4.2, Fig. 7).

    The deepest over the shallowest, for each option. Reproduced if every option's deepest is lower.
    """
    key, title = "responses-depth", "Deeper residual networks have smaller responses"
    groups = [[network for network in group.values() if _has_responses(network)] for group in kin.residual.values()]
    ends = [(group[0], group[-1]) for group in groups if len(group) > 1]
    if not ends:
        missing = "It would take residual networks of two depths with one shortcut option and responses.csv."
        return [kin.verdict(key, title, _FIGURE_7, "not tested", missing)]
    return [_responses(kin, key, title, ends)]


_FIGURE_7 = "section 4.2, Fig. 7"


def _has_responses(*networks: NetworkResult) -> bool:
    return all("responses" in cell.tables for network in networks for cell in network.cells)


def _responses(kin: _Kinship, key: str, title: str, pairs: list[tuple[NetworkResult, NetworkResult]]) -> Verdict:
    contrasts = [compare_ratio(*pair, _mean_response, "mean response") for pair in pairs]
    ps = adjusted(contrasts)
    answer, decisive = all_go("down", contrasts, ps)
    if answer == "inconclusive":
        sentence = least_clear(decisive)
    else:
        relation = "smaller" if answer == "reproduced" else "larger"
        sentence = decided(decisive, f"has {relation} responses than")
    rows = [contrast.evidence(p) for contrast, p in zip(contrasts, ps, strict=True)]
    return kin.verdict(key, title, _FIGURE_7, answer, sentence, rows)


def _mean_response(cell: CellResult) -> float:
    return float(cell.tables["responses"]["std"].mean()) if "responses" in cell.tables else 0.0


def _ensembles_win(ensembles: Sequence[Ensemble]) -> list[Verdict]:
    """An ensemble beats its members (section 4.1, Table 5).

    A set of runs has one ensemble, so the chance is that of the test images and not of seeds; several ensembles are
    averaged image by image. Reproduced if they beat the best member of each, though it was chosen on the very test
    images, by the exact sign test over the images where the two differ (McNemar's, for one ensemble). Contradicted if
    they are worse than the average member, by Student's t over the images.
    """
    key, title, source = "ensemble", "An ensemble beats its members", "section 4.1, Table 5"
    if not ensembles:
        missing = "It would take a network with two seeds, or a set under report.ensembles."
        return [Verdict(key, title, source, "not tested", missing, ())]
    cells = tuple(dict.fromkeys(member.cell.name for ensemble in ensembles for member in ensemble.members))
    best = _sign_test(np.mean([ensemble.against_best for ensemble in ensembles], axis=0))
    against_average = np.mean([ensemble.against_average for ensemble in ensembles], axis=0)
    average = paired_difference(Spread(tuple(against_average.tolist())))
    if best.mean < 0 and (best.p or 0) < ALPHA:
        answer: Answer = "reproduced"
    elif average.mean > 0 and (average.p or 0) < ALPHA:
        answer = "contradicted"
    else:
        answer = "inconclusive"
    whose = f"{len(ensembles)} ensembles, on average," if len(ensembles) > 1 else f"the ensemble {ensembles[0].name}"
    sentence = f"The test error of {whose} differs from that of the best member by "
    sentence += f"{estimate(best.mean, best.interval, 'points')}, "
    sentence += f"and from that of the average one by {estimate(average.mean, average.interval, 'points')}"
    sentence += "." if answer != "inconclusive" else "; the test images don't decide."
    levels = [
        Evidence(
            f"{ensemble.name}, ensemble of {len(ensemble.members)}",
            ensemble.error,
            None,
            "%",
            None,
            tuple(member.cell.name for member in ensemble.members),
        )
        for ensemble in ensembles
    ]
    rows = [
        Evidence("average member → ensemble, test error", average.mean, average.interval, "points", average.p, cells),
        Evidence("best member → ensemble, test error", best.mean, best.interval, "points", best.p, cells),
    ]
    return [Verdict(key, title, source, answer, sentence, (*levels, *rows))]


def _sign_test(differences: NDArray[np.float64]) -> Difference:
    """Differences by image, in points: exact for differences that are as likely up as down, were there no effect."""
    lower, higher = int((differences < 0).sum()), int((differences > 0).sum())
    p = float(stats.binomtest(lower, lower + higher).pvalue) if lower + higher else 1.0
    spread = Spread(tuple(differences.tolist()))
    return Difference(spread.mean, spread.interval, p)


_RULES: tuple[Callable[[_Kinship], list[Verdict]], ...] = (
    _degradation,
    _not_overfitting,
    _gradients_are_healthy,
    _shortcuts_help,
    _shallow_twins_end_alike,
    _shallow_twin_converges_faster,
    _options_differ_little,
    _options_order,
    _deeper_is_better,
    _responses_are_smaller,
    _responses_shrink_with_depth,
)
