"""Charts of errors: training curves (the paper's Figs. 1 and 6), errors by depth and by cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resgrid.reporting.axes import Axis, category_axis, linear_axis, log_axis
from resgrid.reporting.chart import Chart, ChartGroup, Weight
from resgrid.reporting.formatting import estimate
from resgrid.reporting.provenance import measure_sources
from resgrid.reporting.results import Measure, NetworkResult, Results
from resgrid.reporting.style import Style, Styles, kind_title

ERROR_LABEL = "error (%)"
BANDED_AT_MOST = 8  # more bands would cover each other

_ALL = 100  # percent
_OFFSET = 0.13  # between the markers of two kinds at one depth, in distances of two depths
_LABELED_AT_MOST = 10
_OUTLYING = 10  # times the median
_CURVES = {"train/error": "running training", "val/error": "validation"}
_WEIGHTS: dict[str, Weight] = {"train/error": "thin", "val/error": "bold"}
_COSTS = {"multiply_adds": "multiply-adds", "parameters": "parameters"}


def curves_by_error(results: Results, styles: Styles, milestones: Sequence[int], top: int) -> ChartGroup:
    """Draw running training and validation error against step, all networks together (the paper's Fig. 1).

    Args:
        milestones: steps at which the learning rate drops.
        top: end of the error axis, from `top_of_curves`.
    """
    x, y = _step_axis(results), linear_axis(ERROR_LABEL, 0, top)
    charts: list[Chart] = []
    for column, name in _CURVES.items():
        chart = Chart(f"{name.capitalize()} error", x, y, _curves_alt(f"{name} error", results.networks))
        _mark_milestones(chart, milestones)
        for network in results.by_depth:
            _draw_curve(chart, network, column, styles[network.name])
        charts.append(chart)
    return ChartGroup(tuple(charts), tuple(results.by_depth))


def curves_by_kind(results: Results, styles: Styles, milestones: Sequence[int], top: int) -> ChartGroup:
    """Draw running training (thin) and validation error (bold), one chart for each kind (the paper's Fig. 6)."""
    x, y = _step_axis(results), linear_axis(ERROR_LABEL, 0, top)
    charts: list[Chart] = []
    for kind, networks in results.by_kind.items():
        chart = Chart(kind_title(kind), x, y, _curves_alt("running training and validation error", networks))
        _mark_milestones(chart, milestones)
        if len(networks) <= BANDED_AT_MOST:
            _draw_bands(chart, networks, styles)
        for column in _CURVES:
            for network in networks:
                _draw_curve(chart, network, column, styles[network.name])
        charts.append(chart)
    return ChartGroup(tuple(charts), tuple(results.by_depth))


def curve_data(results: Results) -> dict[str, Any]:
    """Return the cells' curves for the page's script: errors in percent, rounded to 0.01.

    `steps` are the distinct step axes; each cell has its network, seed, index into `steps`, and columns.
    """
    axes: list[list[int]] = []
    cells: dict[str, dict[str, Any]] = {}
    for cell in results.cells:
        steps = cell.curve["step"].tolist()
        if steps not in axes:
            axes.append(steps)
        columns = {name: [_rounded(value) for value in cell.curve[name].tolist()] for name in _CURVES}
        labels = {"network": cell.cell.network, "seed": cell.cell.seed, "steps": axes.index(steps)}
        cells[cell.cell.name] = labels | columns
    return {"steps": axes, "cells": cells}


def overview(results: Results, styles: Styles) -> ChartGroup | None:
    """Draw the page's first picture: test error of the final weights against depth; None without depths."""
    networks = tuple(network for network in results.by_depth if network.depth is not None)
    if not networks:
        return None
    return ChartGroup((_depth_chart(results, styles, "test_error", "Test error", _top_of_depths(networks)),), networks)


def errors_by_depth(results: Results, styles: Styles, published: Mapping[str, float]) -> ChartGroup:
    """Draw training and test error of the final weights against depth; stars are published test errors."""
    networks = [network for network in results.by_depth if network.depth is not None]
    top = _top_of_depths(networks)
    training = _depth_chart(results, styles, "train_error", "Training error of the final weights", top)
    test = _depth_chart(results, styles, "test_error", "Test error of the final weights", top)
    _draw_stars(test, results, networks, published)
    return ChartGroup((training, test), tuple(networks))


def errors_by_cost(results: Results, styles: Styles) -> ChartGroup | None:
    """Draw test error against multiply-adds and parameters; None if no network's cost is known."""
    costs = [(network, network.complexity) for network in results.by_depth if network.complexity is not None]
    if not costs:
        return None
    networks = tuple(network for network, _ in costs)
    errors = {network.name: network.errors["test_error"].mean for network in networks}
    y = linear_axis("test error (%)", 0, max(1.08 * max(errors.values()), 0.1))
    charts: list[Chart] = []
    for field, unit in _COSTS.items():
        prices = {network.name: float(getattr(complexity, field)) for network, complexity in costs}
        charts.append(_cost_chart(networks, styles, prices, errors, unit, y))
    return ChartGroup(tuple(charts), networks)


def pareto_optimal(prices: Mapping[str, float], errors: Mapping[str, float]) -> list[str]:
    """Return the networks not dominated in cost and error, cheapest first."""
    best: list[str] = []
    for name in sorted(prices, key=lambda name: (prices[name], errors[name], name)):
        if not best or errors[name] < errors[best[-1]]:
            best.append(name)
    return best


def top_of_curves(results: Results) -> int:
    """Return the end of the error axis, in percent: only the first quarter of the steps may exceed it."""
    means = [network.curves(column).mean(axis=1) for network in results.networks for column in _CURVES]
    later = max(float(mean[mean.index >= mean.index[-1] / 4].max()) for mean in means)
    unit = 10 if later > 20 else 2
    return min(unit * math.ceil(later / unit) or unit, _ALL)


def spans_decades(values: NDArray[np.floating[Any]]) -> bool:
    """Return whether outliers would flatten all other values on a linear axis; False if any value is zero."""
    return bool(values.min() > 0 and values.max() > _OUTLYING * np.median(values))


def kind_offset(kinds: int) -> float:
    """Return the distance between the markers of two kinds at one depth, in distances of two depths."""
    return min(_OFFSET, 0.7 / kinds)


def _cost_chart(
    networks: Sequence[NetworkResult],
    styles: Styles,
    prices: Mapping[str, float],
    errors: Mapping[str, float],
    unit: str,
    y: Axis,
) -> Chart:
    best = pareto_optimal(prices, errors)
    label = f"{unit} for one image" if unit == "multiply-adds" else unit
    x = log_axis(label, min(prices.values()), max(prices.values()))
    chart = Chart(f"Test error against {unit}", x, y, f"Pareto-optimal in {unit} and error: {', '.join(best)}.")
    points = [(prices[name], errors[name]) for name in best]
    corners = [corner for (_, error), (price, lower) in pairwise(points) for corner in ((price, error), (price, lower))]
    chart.frontier(*zip(points[0], *corners, strict=True))
    for network in networks:
        name = network.name
        sample = network.errors["test_error"]
        tooltip = f"{name}: {estimate(sample.mean, sample.percent_interval, '%')}, {prices[name]:,.0f} {label}"
        source = measure_sources(network, "test_error")
        chart.mark(prices[name], errors[name], styles[name], name, tooltip, source, sample.percent_interval)
        if name in best and len(best) <= _LABELED_AT_MOST:
            chart.label(prices[name], errors[name], name)
    return chart


def _top_of_depths(networks: Sequence[NetworkResult]) -> float:
    """Return the end of the error axis, in percent: no seed exceeds it, but wide confidence intervals may."""
    errors = [network.errors[measure] for network in networks for measure in ("train_error", "test_error")]
    return max(1.08 * max((max(sample.values) for sample in errors), default=0), 0.1)


def _depth_chart(results: Results, styles: Styles, measure: Measure, title: str, top: float) -> Chart:
    x = category_axis("depth (weighted layers)", [str(depth) for depth in results.depths])
    y = linear_axis(ERROR_LABEL, -0.025 * top, top)  # room for markers at zero
    spans = [f"{kind_title(kind)}: {_span(group, measure)}" for kind, group in _with_depth(results).items()]
    chart = Chart(title, x, y, f"{title} against depth. {'; '.join(spans)}.")
    _draw_kinds_by_depth(chart, results, styles, measure)
    return chart


def _draw_kinds_by_depth(chart: Chart, results: Results, styles: Styles, measure: Measure) -> None:
    groups = _with_depth(results)
    step = kind_offset(len(groups))
    for index, group in enumerate(groups.values()):
        middle = step * (index - (len(groups) - 1) / 2)
        places = [results.depths.index(network.depth) + middle for network in group if network.depth is not None]
        chart.connect(places, [network.errors[measure].mean for network in group], styles[group[0].name])
        for place, network in zip(places, group, strict=True):
            sample, style = network.errors[measure], styles[network.name]
            for value in sample.values if sample.n > 1 else ():
                chart.dot(place - step / 2, value, style, network.name)
            tooltip = f"{network.name}: {estimate(sample.mean, sample.percent_interval, '%')} (n = {sample.n})"
            source = measure_sources(network, measure)
            chart.mark(place, sample.mean, style, network.name, tooltip, source, sample.percent_interval)


def _draw_stars(
    chart: Chart, results: Results, networks: Sequence[NetworkResult], published: Mapping[str, float]
) -> None:
    for network in networks:
        if network.name in published and network.depth is not None:
            error = published[network.name]
            chart.star(results.depths.index(network.depth), error, f"{network.name} in the paper: {error}%")


def _with_depth(results: Results) -> dict[str, list[NetworkResult]]:
    groups = {kind: [each for each in group if each.depth is not None] for kind, group in results.by_kind.items()}
    return {kind: group for kind, group in groups.items() if group}


def _draw_bands(chart: Chart, networks: Sequence[NetworkResult], styles: Styles) -> None:
    """Shade the seeds of the validation error."""
    for network in networks:
        if len(network.cells) > 1:
            values = network.curves("val/error")
            low, high = values.min(axis=1), values.max(axis=1)
            chart.band(values.index, low, high, styles[network.name], network.name)


def _draw_curve(chart: Chart, network: NetworkResult, column: str, style: Style) -> None:
    mean = network.curves(column).mean(axis=1)
    chart.line(mean.index, mean, style, network.name, _WEIGHTS[column], curve=column)


def _mark_milestones(chart: Chart, milestones: Sequence[int]) -> None:
    for milestone in milestones:
        chart.rule(milestone)


def _step_axis(results: Results) -> Axis:
    return linear_axis("step", 0, max(int(cell.curve["step"].iloc[-1]) for cell in results.cells))


def _curves_alt(quantity: str, networks: Sequence[NetworkResult]) -> str:
    measures: tuple[Measure, ...] = ("train_error", "val_error")
    ends = [
        f"{network.name} " + " and ".join(f"{network.errors[measure].mean:.1f}%" for measure in measures)
        for network in networks
    ]
    return f"Curves of {quantity} against step. Final training and validation error: {'; '.join(ends)}."


def _span(group: Sequence[NetworkResult], measure: Measure) -> str:
    """Format such as `1.11% (plain8) to 37.22% (plain32)`."""
    ends = [group[0], group[-1]] if len(group) > 1 else [group[0]]
    return " to ".join(f"{result.errors[measure].mean:.2f}% ({result.name})" for result in ends)


def _rounded(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None
