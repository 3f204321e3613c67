"""Charts of the analyses: layer responses (the paper's Fig. 7), gradients, blocks and all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from resgrid.artifacts.analyses import ANALYSIS_COLUMNS, LABEL_COLUMNS
from resgrid.reporting.axes import Axis, linear_axis, log_axis
from resgrid.reporting.chart import Chart, ChartGroup
from resgrid.reporting.charts import BANDED_AT_MOST, ERROR_LABEL, spans_decades
from resgrid.reporting.provenance import column_sources
from resgrid.reporting.results import Analysis, NetworkResult, Results
from resgrid.reporting.style import Style, Styles

Analyzed = Sequence[tuple[NetworkResult, Analysis]]

_WITH_OWN_CHARTS = ("responses", "gradients", "blocks")
_MOMENTS = ("at the start", "half way", "at the end")
_GRADIENT_COLUMNS = {"gradient_norm": "Gradient norm", "update_ratio": "Update over weight"}


def layer_responses(results: Results, styles: Styles) -> ChartGroup | None:
    """Draw the standard deviation of each 3×3 layer's response, by layer and sorted; None if no network has any."""
    analyzed = _analyzed(results, "responses")
    if not analyzed:
        return None
    values = {network.name: analysis.table["std"].to_numpy() for network, analysis in analyzed}
    longest = max(map(len, values.values()))
    y = _linear_or_log_axis("standard deviation", _seed_values(analyzed, "std"))
    means = [f"{name}: mean {each.mean():.2f}" for name, each in values.items()]
    alt = f"Standard deviation of the layers' responses. {'; '.join(means)}."
    charts: list[Chart] = []
    for title, label in (("By layer", "layer"), ("Sorted", "layer, from the largest response")):
        chart = Chart(title, linear_axis(label, 1, max(longest, 2), whole=True), y, alt)
        for network, analysis in analyzed:
            mean, style = values[network.name], styles[network.name]
            order = np.arange(len(mean)) if label == "layer" else np.argsort(mean, kind="stable")[::-1]
            layers = np.arange(1, len(mean) + 1)
            _draw_band(chart, analyzed, analysis, layers, "std", style, network.name, order)
            source = column_sources(analysis.cells, "responses.csv", "std")
            chart.line(layers, mean[order], style, network.name, source=source)
        charts.append(chart)
    return ChartGroup(tuple(charts), tuple(network for network, _ in analyzed))


def gradient_flow(results: Results, styles: Styles) -> ChartGroup | None:
    """Draw each layer's gradient norm and relative update at the recorded steps; None if no network has any."""
    analyzed = _analyzed(results, "gradients")
    if not analyzed:
        return None
    by_step = {
        network.name: [analysis.at(step) for step in sorted(set(analysis.table["step"]))]
        for network, analysis in analyzed
    }
    charts = [
        _gradient_chart(analyzed, by_step, styles, column, moment)
        for column in _GRADIENT_COLUMNS
        for moment in range(max(map(len, by_step.values())))
    ]
    return ChartGroup(tuple(charts), tuple(network for network, _ in analyzed))


def _gradient_chart(
    analyzed: Analyzed, by_step: dict[str, list[Analysis]], styles: Styles, column: str, moment: int
) -> Chart:
    groups = [group for each in by_step.values() for group in each]
    values = np.concatenate([each[column].to_numpy() for group in groups for each in (group.low, group.high)])
    positive = values[values > 0]
    low, high = (float(positive.min()), float(positive.max())) if len(positive) else (0.1, 1.0)
    count = max(map(len, by_step.values()))
    when = _MOMENTS[moment] if count == len(_MOMENTS) else f"(moment {moment + 1})"
    title = _GRADIENT_COLUMNS[column]
    alt = f"{title} by layer, {when}, for {len(analyzed)} networks; smallest {low:.1e}, largest {high:.1e}."
    x = linear_axis("layer", 1, max(2, *(len(group.table) for group in groups)), whole=True)
    chart = Chart(f"{title}, {when}", x, log_axis(title.lower(), low, high), alt)
    for network, analysis in analyzed:
        if moment < len(by_step[network.name]):
            group, style = by_step[network.name][moment], styles[network.name]
            table = group.table
            _draw_band(chart, analyzed, group, table["index"], column, style, network.name)
            source = column_sources(analysis.cells, "gradients.csv", f"{column}@step={table['step'].iloc[0]}")
            chart.line(table["index"], table[column], style, network.name, source=source)
    return chart


def blocks(results: Results, styles: Styles) -> ChartGroup | None:
    """Draw, by block, the residual's size against the shortcut's, and the test error without the block."""
    analyzed = _analyzed(results, "blocks")
    if not analyzed:
        return None
    longest = max(len(analysis.table) for _, analysis in analyzed)
    x = linear_axis("block", -0.4, max(longest, 2), whole=True)
    charts = [_residual_chart(analyzed, styles, x), _lesion_chart(analyzed, styles, x)]
    drawn = tuple(chart for chart in charts if chart is not None)
    return ChartGroup(drawn, tuple(network for network, _ in analyzed))


def _residual_chart(analyzed: Analyzed, styles: Styles, x: Axis) -> Chart | None:
    values = _finite_column(analyzed, "residual_ratio")
    if not values:
        return None
    y = _linear_or_log_axis("ratio of norms", _seed_values(analyzed, "residual_ratio"))
    title = "Size of F(x) relative to x"
    chart = Chart(title, x, y, _mean_alt(title, values))
    _draw_column(chart, analyzed, values, styles, "blocks.csv", "residual_ratio")
    return chart


def _lesion_chart(analyzed: Analyzed, styles: Styles, x: Axis) -> Chart | None:
    values = _finite_column(analyzed, "lesion_error")
    if not values:
        return None
    title, highest = "Test error without this block", float(_seed_values(analyzed, "lesion_error").max())
    chart = Chart(title, x, linear_axis(ERROR_LABEL, 0, 1.05 * highest), _mean_alt(title, values))
    _draw_column(chart, analyzed, values, styles, "blocks.csv", "lesion_error")
    for network, analysis in analyzed:
        if network.name in values:
            intact, name = float(analysis.table["intact_error"].mean()), network.name
            source = column_sources(analysis.cells, "blocks.csv", "intact_error")
            chart.mark(0, intact, styles[name], name, f"{name}, intact: {intact:.2f}%", source)
    return chart


def _finite_column(analyzed: Analyzed, column: str) -> dict[str, pd.Series]:
    """Return a column by network, for those with numbers; an infinite ratio (a zero input) becomes a gap."""
    columns = {network.name: analysis.table[column].replace(np.inf, np.nan) for network, analysis in analyzed}
    return {name: values for name, values in columns.items() if values.notna().any()}


def _draw_column(
    chart: Chart, analyzed: Analyzed, values: dict[str, pd.Series], styles: Styles, file: str, column: str
) -> None:
    for network, analysis in analyzed:
        name = network.name
        if name in values:
            source = column_sources(analysis.cells, file, column)
            _draw_band(chart, analyzed, analysis, analysis.table["index"], column, styles[name], name)
            chart.line(analysis.table["index"], values[name], styles[name], name, source=source)


def _draw_band(
    chart: Chart,
    analyzed: Analyzed,
    analysis: Analysis,
    xs: ArrayLike,
    column: str,
    style: Style,
    network: str,
    order: NDArray[np.int64] | slice = slice(None),
) -> None:
    """Shade from the lowest to the highest seed, if there are several seeds and few networks."""
    if len(analysis.cells) > 1 and len(analyzed) <= BANDED_AT_MOST:
        low, high = (table[column].replace(np.inf, np.nan).to_numpy()[order] for table in (analysis.low, analysis.high))
        chart.band(xs, low, high, style, network)


def _mean_alt(title: str, values: dict[str, pd.Series]) -> str:
    means = [f"{name}: {column.mean():.2f}" for name, column in values.items()]
    return f"{title}, mean: {'; '.join(means)}."


def other_analyses(results: Results, styles: Styles) -> dict[str, ChartGroup]:
    """Draw each measured column by layer or block, for the analyses that have no charts of their own."""
    names = [name for name in ANALYSIS_COLUMNS if name not in _WITH_OWN_CHARTS]
    groups = {name: _column_charts(name, _analyzed(results, name), styles) for name in names}
    return {name: group for name, group in groups.items() if group.charts}


def _column_charts(name: str, analyzed: Analyzed, styles: Styles) -> ChartGroup:
    charts: list[Chart] = []
    for column in ANALYSIS_COLUMNS[name]:
        values = _finite_column(analyzed, column) if column not in LABEL_COLUMNS else {}
        if values:
            title, known = column.replace("_", " "), _seed_values(analyzed, column)
            x = linear_axis("in the order of depth", 1, max(2, *map(len, values.values())), whole=True)
            chart = Chart(title.capitalize(), x, _linear_or_log_axis(title, known), _mean_alt(title, values))
            _draw_column(chart, analyzed, values, styles, f"{name}.csv", column)
            charts.append(chart)
    return ChartGroup(tuple(charts), tuple(network for network, _ in analyzed))


def _seed_values(analyzed: Analyzed, column: str) -> NDArray[np.float64]:
    """Return the lowest and highest finite values over seeds."""
    tables = (table for _, analysis in analyzed for table in (analysis.low, analysis.high))
    values = np.concatenate([table[column].to_numpy(dtype=float) for table in tables])
    return values[np.isfinite(values)]


def _linear_or_log_axis(label: str, values: NDArray[np.floating[Any]]) -> Axis:
    """Return an axis that includes zero, or a logarithmic one if `spans_decades`."""
    if spans_decades(values):
        return log_axis(label, float(values.min()), float(values.max()))
    return linear_axis(label, min(0, float(values.min())), 1.05 * float(values.max()))


def _analyzed(results: Results, name: str) -> Analyzed:
    found = [(network, network.analysis(name)) for network in results.by_depth]
    return [(network, analysis) for network, analysis in found if analysis is not None]
