"""The main figures as files (PNG and SVG, on white), for papers, pull requests and `dvc plots show`.

They use matplotlib's objects without pyplot's global state. Equal results give equal bytes: the settings start from
matplotlib's defaults, the identifiers inside an SVG are salted, and no date is written.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.style as matplotlib_style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from resgrid.reporting.axes import log_axis
from resgrid.reporting.charts import BANDED_AT_MOST, kind_offset, pareto_optimal, spans_decades, top_of_curves
from resgrid.reporting.results import Measure, NetworkResult, Results
from resgrid.reporting.style import Style, Styles, kind_title, network_styles

_SETTINGS = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.labelcolor": "#222222",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "svg.hashsalt": "resgrid",
    "svg.fonttype": "path",
    "text.parse_math": False,
    "savefig.dpi": 180,
}
_WIDTH = 7.4  # inches
_CHARTS_IN_A_ROW = 3
_LISTED_AT_MOST = 24  # a longer legend would exceed the figure


@dataclass(frozen=True)
class StaticFigure:
    """A figure as file contents; `name` is the files' name without suffix."""

    name: str
    svg: bytes
    png: bytes


def draw_figures(results: Results, milestones: Sequence[int], published: Mapping[str, float]) -> list[StaticFigure]:
    """Draw errors by depth, training curves, and if they are known, test error by cost and layer responses.

    Args:
        milestones: steps at which the learning rate drops.
        published: directly comparable test errors in percent, by network name; may be empty.
    """
    if not results.networks:
        return []
    styles = network_styles(results)
    with matplotlib_style.context(["default", _SETTINGS]):
        figures = {"curves": _curves(results, styles, milestones)}
        if results.depths:
            figures["depth"] = _depth(results, styles, published)
        for name, figure in (("cost", _cost(results, styles)), ("responses", _responses(results, styles))):
            if figure is not None:
                figures[name] = figure
        return [_finish(name, figure) for name, figure in figures.items()]


def _depth(results: Results, styles: Styles, published: Mapping[str, float]) -> Figure:
    """Draw training and test error against depth, by kind (the paper's Fig. 1 and Table 6)."""
    figure = Figure(figsize=(_WIDTH, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _errors(left, results, styles, "train_error", "Training error")
    _errors(right, results, styles, "test_error", "Test error")
    stars = [(network.depth, published[network.name]) for network in results.networks if network.name in published]
    if stars:
        places = [results.depths.index(depth) for depth, _ in stars if depth is not None]
        right.plot(places, [error for _, error in stars], "*k", fillstyle="none", markersize=9, label="the paper")
    left.set_ylabel("error (%)")
    top = left.get_ylim()[1]
    left.set_ylim(-0.02 * top, top)  # room for markers at zero
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5))
    return figure


def _curves(results: Results, styles: Styles, milestones: Sequence[int]) -> Figure:
    """Draw training curves, one chart for each kind on the same axes (the paper's Fig. 6)."""
    groups = results.by_kind
    columns = len(groups) if len(groups) <= _CHARTS_IN_A_ROW else 2
    rows = math.ceil(len(groups) / columns)
    figure = Figure(figsize=(_WIDTH, 3.1 * rows + 0.6), layout="constrained")
    charts = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in charts.flat[len(groups) :]:
        axes.set_axis_off()
    for axes, (kind, group) in zip(charts.flat, groups.items(), strict=False):
        axes.set_title(kind_title(kind))
        for milestone in milestones:
            axes.axvline(milestone, color="#aaaaaa", linewidth=0.8, linestyle=":")
        for network in group:
            _curve(axes, network, styles[network.name], banded=len(group) <= BANDED_AT_MOST)
    _scale_curves(charts, top_of_curves(results))
    depths = {network.depth: styles[network.name] for network in results.by_depth}
    figure.legend(
        [Line2D([], [], color=style.on_light, linewidth=2.2) for style in depths.values()],
        ["no depth" if depth is None else f"depth {depth}" for depth in depths],
        title="bold: validation error, thin: training error",
        loc="outside lower center",
        ncols=min(len(depths), 6),
    )
    return figure


def _cost(results: Results, styles: Styles) -> Figure | None:
    """Draw test error against multiply-adds and parameters, with a line through the Pareto-optimal networks."""
    costs = [(network, network.complexity) for network in results.by_depth if network.complexity is not None]
    if not costs:
        return None
    errors = {network.name: network.errors["test_error"].mean for network, _ in costs}
    figure = Figure(figsize=(_WIDTH, 3.5), layout="constrained")
    charts = figure.subplots(1, 2, sharey=True)
    for axes, field, unit in zip(charts, ("multiply_adds", "parameters"), ("multiply-adds", "parameters"), strict=True):
        prices = {network.name: float(getattr(complexity, field)) for network, complexity in costs}
        best = pareto_optimal(prices, errors)
        steps = [prices[name] for name in best], [errors[name] for name in best]
        axes.step(*steps, "#999999", where="post", linewidth=1)
        for network, _ in costs:
            name, style = network.name, styles[network.name]
            if deviation := network.errors["test_error"].standard_deviation:
                axes.errorbar(prices[name], errors[name], deviation, color=style.on_light, elinewidth=1, capsize=3)
            axes.plot(prices[name], errors[name], style.marker, color=style.on_light, markersize=5.5, label=name)
        x = log_axis(unit, min(prices.values()), max(prices.values()))
        axes.set_xscale("log")
        axes.set_xlim(x.low, x.high)
        axes.set_xticks([place for place, _ in x.ticks], [text for _, text in x.ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(f"Test error against {unit}")
        axes.set_xlabel(unit)
    charts[0].set_ylabel("error (%)")
    charts[0].set_ylim(bottom=0)
    if len(costs) <= _LISTED_AT_MOST:
        figure.legend(*charts[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _responses(results: Results, styles: Styles) -> Figure | None:
    """Draw the standard deviation of the layers' responses, by layer and sorted (the paper's Fig. 7)."""
    analyzed = [(network, network.analysis("responses")) for network in results.by_depth]
    found = [(network, analysis.table["std"].to_numpy()) for network, analysis in analyzed if analysis is not None]
    if not found:
        return None
    figure = Figure(figsize=(_WIDTH, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for network, values in found:
        style = styles[network.name]
        line = {"color": style.on_light, "linestyle": _linestyle(style), "linewidth": 1.4, "label": network.name}
        layers = np.arange(1, len(values) + 1)
        left.plot(layers, values, **line)
        right.plot(layers, np.sort(values)[::-1], **line)
    left.set_title("By layer")
    left.set_xlabel("layer")
    left.set_ylabel("standard deviation")
    right.set_title("Sorted")
    right.set_xlabel("layer, from the largest response")
    if spans_decades(np.concatenate([values for _, values in found])):
        left.set_yscale("log")
        left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        left.set_ylim(bottom=0)
    if len(found) <= _LISTED_AT_MOST:
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _errors(axes: Axes, results: Results, styles: Styles, measure: Measure, title: str) -> None:
    groups = {kind: [each for each in group if each.depth is not None] for kind, group in results.by_kind.items()}
    groups = {kind: group for kind, group in groups.items() if group}
    for index, (kind, group) in enumerate(groups.items()):
        step = kind_offset(len(groups))
        middle = step * (index - (len(groups) - 1) / 2)
        places = [results.depths.index(network.depth) + middle for network in group if network.depth is not None]
        first = styles[group[0].name]
        means = [network.errors[measure].mean for network in group]
        axes.plot(places, means, color="#777777", linewidth=1.1, linestyle=_linestyle(first))
        for place, network in zip(places, group, strict=True):
            sample, style = network.errors[measure], styles[network.name]
            if sample.n > 1:
                beside = [place - step / 2] * sample.n
                axes.plot(
                    beside, sample.values, ".", color=style.on_light, alpha=0.6, markersize=5.5, markeredgewidth=0
                )
            bars = {"yerr": sample.standard_deviation or 0, "elinewidth": 1, "capsize": 3}
            axes.errorbar(place, sample.mean, color=style.on_light, marker=style.marker, markersize=5.5, **bars)
        axes.plot([], [], color="#777777", linestyle=_linestyle(first), marker=first.marker, label=kind_title(kind))
    axes.set_title(title)
    axes.set_xlabel("depth (weighted layers)")
    axes.set_xticks(range(len(results.depths)), [str(depth) for depth in results.depths])
    axes.tick_params(axis="x", labelsize=min(9, 80 / len(results.depths)))
    axes.set_xlim(-0.5, len(results.depths) - 0.5)


def _curve(axes: Axes, network: NetworkResult, style: Style, banded: bool) -> None:
    train, val = network.curves("train/error"), network.curves("val/error")
    line = {"color": style.on_light, "linestyle": _linestyle(style)}
    if banded and len(network.cells) > 1:
        axes.fill_between(
            val.index, val.min(axis=1), val.max(axis=1), color=style.on_light, alpha=0.18, linewidth=0
        )  # fmt: skip
    axes.plot(train.index, train.mean(axis=1), linewidth=0.8, **line)
    axes.plot(val.index, val.mean(axis=1), linewidth=2.0, **line)


def _scale_curves(charts: NDArray[Any], top: int) -> None:
    charts[0, 0].set_ylim(0, top)
    charts[0, 0].set_xlim(left=0)
    for axes in charts.flat:
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    for axes in charts[-1]:
        axes.set_xlabel("step")
    for axes in charts[:, 0]:
        axes.set_ylabel("error (%)")


def _linestyle(style: Style) -> Any:
    """Convert SVG's dashes, in points, to matplotlib's, in line widths."""
    return (0, tuple(float(length) / 1.5 for length in style.dash.split())) if style.dash else "-"


def _finish(name: str, figure: Figure) -> StaticFigure:
    svg, png = io.BytesIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.set_layout_engine("none")  # keep the first layout
    figure.savefig(png, format="png", metadata={"Software": None})
    return StaticFigure(name, svg.getvalue(), png.getvalue())
