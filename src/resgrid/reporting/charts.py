"""Which charts the page has: the paper's Figs. 1, 6 and 7, errors by depth and cost, gradients, blocks, confusions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from resgrid.reporting.provenance import folded, measure_source, source
from resgrid.reporting.results import Analysis, Measure, NetworkResult, Results
from resgrid.reporting.style import Look, kind_title
from resgrid.reporting.svg import Axis, Panel, heat_map, linear_axis, log_axis, place_axis

Looks = Mapping[str, Look]

_ERROR = "error (%)"
_ALL = 100  # percent
_ASIDE = 0.13  # of the distance between two depths: twins stand beside each other, seeds beside their mean
BANDED_AT_MOST = 5  # more would cover each other
_LABELLED_AT_MOST = 10
_SHOWN_PERCENT = 0.5
_DWARFED = 10  # times the median
_CURVES = {"train/error": "training", "val/error": "validation"}
_MOMENTS = ("at the start", "half way", "at the end")


@dataclass(frozen=True)
class Panels:
    """Charts that belong together, and the networks that they show."""

    panels: tuple[Panel, ...]
    networks: tuple[NetworkResult, ...]


def curves_by_error(results: Results, looks: Looks, milestones: Sequence[int], top: int) -> Panels:
    """Training and validation error against step, all networks together (the paper's Fig. 1).

    Args:
        milestones: steps at which the learning rate drops.
        top: the end of the error axis, of `top_of_curves`.
    """
    x, y = _step_axis(results), linear_axis(_ERROR, 0, top)
    panels: list[Panel] = []
    for column, words in _CURVES.items():
        panel = Panel(f"{words.capitalize()} error", x, y, _curves_alt(f"{words} error", results.networks))
        _rules(panel, milestones)
        for network in results.by_depth:
            _curve(panel, network, column, looks[network.name], "bold" if network.kind != "plain" else "thin")
        panels.append(panel)
    return Panels(tuple(panels), tuple(results.by_depth))


def curves_by_kind(results: Results, looks: Looks, milestones: Sequence[int], top: int) -> Panels:
    """One panel for each kind of network, with training (thin) and validation error (bold): the paper's Fig. 6."""
    x, y = _step_axis(results), linear_axis(_ERROR, 0, top)
    panels: list[Panel] = []
    for kind, networks in results.by_kind.items():
        panel = Panel(kind_title(kind), x, y, _curves_alt("training and validation error", networks))
        _rules(panel, milestones)
        for network in networks if len(networks) <= BANDED_AT_MOST else ():
            values = network.curves("val/error")
            if len(network.cells) > 1:
                panel.band(
                    values.index, values.min(axis=1), values.max(axis=1), looks[network.name], network.name
                )  # fmt: skip
        for column, weight in (("train/error", "thin"), ("val/error", "bold")):
            for network in networks:
                _curve(panel, network, column, looks[network.name], weight)
        panels.append(panel)
    return Panels(tuple(panels), tuple(results.by_depth))


def curve_data(results: Results) -> dict[str, Any]:
    """The cells' curves for the page's script, once for all charts: errors in percent, rounded to 0.01.

    `steps` are the distinct step axes; a cell is its network, seed, index into them, and its columns.
    """
    axes: list[list[int]] = []
    cells: dict[str, dict[str, Any]] = {}
    for cell in results.cells:
        steps = cell.curve["step"].tolist()
        if steps not in axes:
            axes.append(steps)
        columns = {name: [_rounded(value) for value in cell.curve[name].tolist()] for name in _CURVES}
        named = {"network": cell.cell.network, "seed": cell.cell.seed, "steps": axes.index(steps)}
        cells[cell.cell.name] = named | columns
    return {"steps": axes, "cells": cells}


def errors_by_depth(results: Results, looks: Looks, published: Mapping[str, float]) -> Panels:
    """Error of the final weights against depth, in training and in test; stars are published test errors."""
    networks = [network for network in results.by_depth if network.depth is not None]
    means = [network.errors[measure].mean for network in networks for measure in ("train_error", "test_error")]
    reach = [network.errors["test_error"].deviation or 0 for network in networks]
    top = max(means, default=0) + max(reach, default=0)
    x = place_axis("depth (weighted layers)", [str(depth) for depth in results.depths])
    y = linear_axis(_ERROR, 0, max(1.08 * top, 0.1))
    measures: tuple[tuple[Measure, str], ...] = (("train_error", "Training error"), ("test_error", "Test error"))
    panels: list[Panel] = []
    for measure, title in measures:
        spans = [f"{kind_title(kind)}: {_span(group, measure)}" for kind, group in _with_depth(results).items()]
        panel = Panel(title, x, y, f"{title} against depth. {'; '.join(spans)}.")
        _kinds_by_depth(panel, results, looks, measure)
        if measure == "test_error":
            for network in networks:
                if network.name in published and network.depth is not None:
                    error = published[network.name]
                    panel.star(results.depths.index(network.depth), error, f"the paper's {network.name}: {error} %")
        panels.append(panel)
    return Panels(tuple(panels), tuple(networks))


def errors_by_cost(results: Results, looks: Looks) -> Panels | None:
    """Test error against multiply-adds and parameters; None where no network's cost is known."""
    costs = [(network, network.complexity) for network in results.by_depth if network.complexity is not None]
    if not costs:
        return None
    errors = {network.name: network.errors["test_error"].mean for network, _ in costs}
    y = linear_axis("test error (%)", 0, max(1.08 * max(errors.values()), 0.1))
    panels: list[Panel] = []
    for field, words in (("multiply_adds", "multiply-adds for one image"), ("parameters", "parameters")):
        prices = {network.name: float(getattr(complexity, field)) for network, complexity in costs}
        best = cheapest(prices, errors)
        x = log_axis(words, min(prices.values()), max(prices.values()))
        panel = Panel(
            f"Test error against {words.removesuffix(' for one image')}",
            x, y, f"Nothing cheaper errs less than: {', '.join(best)}.",
        )  # fmt: skip
        steps = [(prices[name], errors[name]) for name in best]
        corners = [
            corner for (_, error), (price, lower) in pairwise(steps) for corner in ((price, error), (price, lower))
        ]
        panel.frontier(*zip(steps[0], *corners, strict=True))
        for network, _ in costs:
            name = network.name
            says = f"{name}: {errors[name]:.2f} %, {prices[name]:,.0f} {words}"
            panel.mark(prices[name], errors[name], looks[name], name, says, _errors_of(network, "test_error"))
            if name in best and len(best) <= _LABELLED_AT_MOST:
                panel.label(prices[name], errors[name], name, name)
        panels.append(panel)
    return Panels(tuple(panels), tuple(network for network, _ in costs))


def cheapest(prices: Mapping[str, float], errors: Mapping[str, float]) -> list[str]:
    """Those than which none is both no dearer and no worse (and better in one), from cheap to dear."""
    best: list[str] = []
    for name in sorted(prices, key=lambda name: (prices[name], errors[name], name)):
        if not best or errors[name] < errors[best[-1]]:
            best.append(name)
    return best


def layer_responses(results: Results, looks: Looks) -> Panels | None:
    """Deviation of each 3×3 layer's response, in the order of the layers and sorted (the paper's Fig. 7)."""
    found = _analysed(results, "responses")
    if not found:
        return None
    tables = {network.name: analysis.table["std"].to_numpy() for network, analysis in found}
    longest = max(len(values) for values in tables.values())
    y = _linear_or_log_axis("standard deviation", np.concatenate(list(tables.values())))
    spans = [f"{name}: mean {values.mean():.2f}" for name, values in tables.items()]
    panels: list[Panel] = []
    for title, label in (("In the order of the layers", "layer"), ("Sorted", "layer, from the largest response")):
        alt = f"Deviation of the layers' responses. {'; '.join(spans)}."
        panel = Panel(title, linear_axis(label, 1, max(longest, 2), whole=True), y, alt)
        for network, analysis in found:
            values = tables[network.name]
            drawn = values if label == "layer" else np.sort(values)[::-1]
            panel.line(
                np.arange(1, len(values) + 1), drawn, looks[network.name], network.name,
                source=_sources(analysis, "responses.csv", "std"),
            )  # fmt: skip
        panels.append(panel)
    return Panels(tuple(panels), tuple(network for network, _ in found))


def gradient_flow(results: Results, looks: Looks) -> Panels | None:
    """Each layer's gradient norm, and its update against its weight, at the first, the middle and the last step."""
    found = _analysed(results, "gradients")
    if not found:
        return None
    columns = {"gradient_norm": "Gradient's norm", "update_ratio": "Update over weight"}
    moments = {
        network.name: [group for _, group in analysis.table.groupby("step", sort=True)] for network, analysis in found
    }
    count = max(len(groups) for groups in moments.values())
    longest = max(len(group) for groups in moments.values() for group in groups)
    panels: list[Panel] = []
    for column, title in columns.items():
        values = np.concatenate([group[column].to_numpy() for groups in moments.values() for group in groups])
        above = values[values > 0]
        low, high = (float(above.min()), float(above.max())) if len(above) else (0.1, 1.0)
        y = log_axis(title.lower(), low, high)
        for moment in range(count):
            words = _MOMENTS[moment] if count == len(_MOMENTS) else f"(moment {moment + 1})"
            alt = f"{title} by layer, {words}, for {len(found)} networks; smallest {low:.1e}, largest {high:.1e}."
            panel = Panel(f"{title}, {words}", linear_axis("layer", 1, max(longest, 2), whole=True), y, alt)
            for network, analysis in found:
                if moment < len(moments[network.name]):
                    group = moments[network.name][moment]
                    field = f"{column}@step={group['step'].iloc[0]}"
                    panel.line(
                        group["index"], group[column], looks[network.name], network.name,
                        source=_sources(analysis, "gradients.csv", field),
                    )  # fmt: skip
            panels.append(panel)
    return Panels(tuple(panels), tuple(network for network, _ in found))


def blocks(results: Results, looks: Looks) -> Panels | None:
    """By block: the residual's size against the shortcut's, and the test error with this block dropped."""
    found = _analysed(results, "blocks")
    if not found:
        return None
    longest = max(len(analysis.table) for _, analysis in found)
    x = linear_axis("block", -0.4, max(longest, 2), whole=True)
    wanted = {
        "residual_ratio": ("Size of F(x) against x", "ratio of norms"),
        "lesion_error": ("Test error without this block", _ERROR),
    }
    panels: list[Panel] = []
    for column, (title, label) in wanted.items():
        # A block whose input is zero has an infinite ratio: a gap in its line, as where there is no shortcut.
        tables = {network.name: analysis.table[column].replace(np.inf, np.nan) for network, analysis in found}
        drawn = [(network, analysis) for network, analysis in found if tables[network.name].notna().any()]
        if not drawn:
            continue
        known = np.concatenate([tables[network.name].dropna().to_numpy() for network, _ in drawn])
        spans = [f"{network.name}: {tables[network.name].mean():.2f}" for network, _ in drawn]
        alt = f"{title}, mean over the blocks: {'; '.join(spans)}."
        if column == "residual_ratio":
            y = _linear_or_log_axis(label, known)
        else:
            y = linear_axis(label, 0, 1.05 * float(known.max()))
        panel = Panel(title, x, y, alt)
        for network, analysis in drawn:
            look, name = looks[network.name], network.name
            panel.line(
                analysis.table["index"], tables[name], look, name,
                source=_sources(analysis, "blocks.csv", column),
            )  # fmt: skip
            if column == "lesion_error":
                whole = float(analysis.table["intact_error"].mean())
                source_of_whole = _sources(analysis, "blocks.csv", "intact_error")
                panel.mark(0, whole, look, name, f"{name}, whole: {whole:.2f} %", source_of_whole)
        panels.append(panel)
    return Panels(tuple(panels), tuple(network for network, _ in found))


def confusions(results: Results, classes: Sequence[str]) -> dict[str, Markup]:
    """Each network's confusion matrix, summed over the seeds, in percent of the actual class."""
    maps: dict[str, Markup] = {}
    for network in results.by_depth:
        shares = row_percent(network.confusion)
        right = [f"{name} {share:.0f} %" for name, share in zip(classes, np.diag(shares), strict=True)]
        alt = f"Confusion matrix of {network.name}: rightly classified of {', '.join(right)}."
        maps[network.name] = heat_map(shares, classes, network.name, alt, _SHOWN_PERCENT)
    return maps


def row_percent(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row in percent of its sum; a class without images stays zero."""
    images = confusion.sum(axis=1, keepdims=True)
    return 100 * confusion / np.maximum(images, 1)


def top_of_curves(results: Results) -> int:
    """The end of the error axis, in percent: all but the first quarter of the steps lies below it."""
    means = [network.curves(column).mean(axis=1) for network in results.networks for column in _CURVES]
    later = max(float(mean[mean.index >= mean.index[-1] / 4].max()) for mean in means)
    unit = 10 if later > 20 else 2
    return min(unit * math.ceil(later / unit) or unit, _ALL)


def spans_decades(values: NDArray[np.floating[Any]]) -> bool:
    """Whether a few values dwarf the others, which a linear axis would press to its foot; never with values of zero."""
    return bool(values.min() > 0 and values.max() > _DWARFED * np.median(values))


def _linear_or_log_axis(label: str, values: NDArray[np.floating[Any]]) -> Axis:
    """From zero, or logarithmic where `spans_decades`."""
    if spans_decades(values):
        return log_axis(label, float(values.min()), float(values.max()))
    return linear_axis(label, 0, 1.05 * float(values.max()))


def aside(kinds: int) -> float:
    """Distance between the markers of two kinds at one depth, in distances of two depths."""
    return min(_ASIDE, 0.7 / kinds)


def _kinds_by_depth(panel: Panel, results: Results, looks: Looks, measure: Measure) -> None:
    groups = _with_depth(results)
    for index, group in enumerate(groups.values()):
        step = aside(len(groups))
        middle = step * (index - (len(groups) - 1) / 2)
        places = [results.depths.index(network.depth) + middle for network in group if network.depth is not None]
        panel.connect(places, [network.errors[measure].mean for network in group], looks[group[0].name])
        for place, network in zip(places, group, strict=True):
            spread, look = network.errors[measure], looks[network.name]
            for value in spread.values if spread.n > 1 else ():
                panel.dot(place - step / 2, value, look, network.name)
            about = "" if spread.deviation is None else f" ± {spread.deviation:.2f}"
            says = f"{network.name}: {spread.mean:.2f}{about} % (n = {spread.n})"
            origin = _errors_of(network, measure)
            panel.mark(place, spread.mean, look, network.name, says, origin, reach=spread.deviation)


def _with_depth(results: Results) -> dict[str, list[NetworkResult]]:
    groups = {kind: [each for each in group if each.depth is not None] for kind, group in results.by_kind.items()}
    return {kind: group for kind, group in groups.items() if group}


def _curve(panel: Panel, network: NetworkResult, column: str, look: Look, weight: str) -> None:
    mean = network.curves(column).mean(axis=1)
    panel.line(mean.index, mean, look, network.name, weight, curve=column)


def _rules(panel: Panel, milestones: Sequence[int]) -> None:
    for milestone in milestones:
        panel.rule(milestone)


def _step_axis(results: Results) -> Axis:
    return linear_axis("step", 0, max(int(cell.curve["step"].iloc[-1]) for cell in results.cells))


def _curves_alt(what: str, networks: Sequence[NetworkResult]) -> str:
    measures: tuple[Measure, ...] = ("train_error", "val_error")
    ends = [
        f"{network.name} " + " and ".join(f"{network.errors[measure].mean:.1f} %" for measure in measures)
        for network in networks
    ]
    return f"Curves of {what} against step. At the end, training and validation: {'; '.join(ends)}."


def _span(group: Sequence[NetworkResult], measure: Measure) -> str:
    """Such as: 1.11 % (plain8) to 37.22 % (plain32)."""
    ends = [group[0], group[-1]] if len(group) > 1 else [group[0]]
    return " to ".join(f"{result.errors[measure].mean:.2f} % ({result.name})" for result in ends)


def _analysed(results: Results, name: str) -> list[tuple[NetworkResult, Analysis]]:
    found = [(network, network.analysis(name)) for network in results.by_depth]
    return [(network, analysis) for network, analysis in found if analysis is not None]


def _sources(analysis: Analysis, file: str, field: str) -> str:
    return " ".join(folded(source(cell, file, field) for cell in analysis.cells))


def _errors_of(network: NetworkResult, measure: Measure) -> str:
    return " ".join(folded(measure_source(cell, measure) for cell in network.cells))


def _rounded(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None
