"""The page's figures as files (PNG and SVG, on white), for papers, pull requests and `dvc plots show`.

They use matplotlib's objects without pyplot's global state. Equal results give equal bytes: the settings start from
matplotlib's defaults, the identifiers inside an SVG are salted, and no date is written. Positions are fixed, because an
automatic layout takes longer than the drawing.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.style as matplotlib_style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from resgrid.reporting.axes import Axis
from resgrid.reporting.chart import Band, Chart, ChartGroup, Cut, Dot, Frontier, Label, Line, Mark, Rule, Star, Through
from resgrid.reporting.results import Results
from resgrid.reporting.style import Style, Styles, kind_title
from resgrid.reporting.svg import spaced_ticks

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
# In inches.
_WIDTH, _HEIGHT = 3.7, 2.9  # of one chart with its texts
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.72, 0.1, 0.32, 0.5
_LEGEND_LINE = 0.19
_MATRIX = 2.5

_LEGEND_COLUMNS = 4
_KEY_LETTERS = 17  # per inch
_MATRIX_COLUMNS = 4
_LISTED_AT_MOST = 24  # networks; of more, only the kinds
_WEIGHTS = {"bold": 1.8, "thin": 0.8}
_GRAY = "#777777"


@dataclass(frozen=True)
class StaticFigure:
    """A figure as file contents; `name` is the files' name without suffix."""

    name: str
    svg: bytes
    png: bytes


def draw_figures(groups: Mapping[str, ChartGroup], styles: Styles) -> list[StaticFigure]:
    """Draw the figures of the page.

    Args:
        groups: charts by the name of the figure.
        styles: of the networks, by name.
    """
    with matplotlib_style.context(["default", _SETTINGS]):
        return [_finish(name, _figure(group, styles)) for name, group in groups.items()]


def draw_confusions(results: Results, classes: Sequence[str]) -> StaticFigure:
    """Draw confusion matrices over all seeds; shades follow the square root of the share of the actual class."""
    networks = results.by_depth
    columns = min(len(networks), _MATRIX_COLUMNS)
    rows = math.ceil(len(networks) / columns)
    with matplotlib_style.context(["default", _SETTINGS, {"axes.grid": False}]):
        figure = Figure(figsize=(columns * _MATRIX, rows * _MATRIX))
        charts = figure.subplots(rows, columns, squeeze=False)
        for axes in charts.flat[len(networks) :]:
            axes.set_axis_off()
        for axes, network in zip(charts.flat, networks, strict=False):
            shares = network.confusion / np.maximum(network.confusion.sum(axis=1, keepdims=True), 1)
            axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
            axes.set_title(network.name)
            axes.set_xticks(range(len(classes)), classes, rotation=90, fontsize=7)
            axes.set_yticks(range(len(classes)), classes, fontsize=7)
        charts[-1, 0].set(xlabel="predicted", ylabel="actual")
        figure.subplots_adjust(wspace=0.35, hspace=0.45)
        return _finish("confusions", figure)


def _figure(group: ChartGroup, styles: Styles) -> Figure:
    columns = 3 if len(group.charts) % 3 == 0 else min(len(group.charts), 2)
    rows = math.ceil(len(group.charts) / columns)
    handles = _legend(group, styles)
    width = max(columns * _WIDTH, 1.4 * _WIDTH)
    key = textwrap.wrap("; ".join(group.key), int(width * _KEY_LETTERS))
    legend = _LEGEND_LINE * (math.ceil(len(handles) / _LEGEND_COLUMNS) + 1 + len(key))
    height = rows * _HEIGHT + legend
    figure = Figure(figsize=(width, height))
    for index, chart in enumerate(group.charts):
        left = (index % columns) * width / columns + _LEFT
        bottom = legend + (rows - 1 - index // columns) * _HEIGHT + _BOTTOM
        size = ((width / columns - _LEFT - _RIGHT) / width, (_HEIGHT - _TOP - _BOTTOM) / height)
        _draw_chart(figure.add_axes((left / width, bottom / height, *size)), chart)
    place = {"loc": "lower center", "bbox_to_anchor": (0.5, (0.3 + len(key)) * _LEGEND_LINE / height)}
    figure.legend(handles=handles, ncols=_LEGEND_COLUMNS, fontsize=8, borderpad=0, **place)
    figure.text(0.5, 0.3 * _LEGEND_LINE / height, "\n".join(key), ha="center", fontsize=7, color="#555555")
    return figure


def _legend(group: ChartGroup, styles: Styles) -> list[Line2D]:
    names = [network.name for network in group.networks]
    if len(names) <= _LISTED_AT_MOST:
        return [_handle(styles[name], name, styles[name].on_light) for name in names]
    by_kind = {network.kind: styles[network.name] for network in group.networks}
    return [_handle(style, kind_title(kind), _GRAY) for kind, style in by_kind.items()]


def _handle(style: Style, label: str, color: str) -> Line2D:
    return Line2D([], [], color=color, linestyle=_linestyle(style), marker=style.marker, markersize=4, label=label)


def _draw_chart(axes: Axes, chart: Chart) -> None:
    axes.set_title(chart.title)
    axes.set_xlabel(chart.x.label)
    axes.set_ylabel(chart.y.label)
    for axis, ticks, scale, limits, places in (
        (chart.x, spaced_ticks(chart.x), axes.set_xscale, axes.set_xlim, axes.set_xticks),
        (chart.y, chart.y.ticks, axes.set_yscale, axes.set_ylim, axes.set_yticks),
    ):
        _set_axis(axis, scale, limits)
        places([place for place, _ in ticks], [text for _, text in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    for element in chart.elements:
        _draw_element(axes, element, chart.y.high)


def _set_axis(axis: Axis, scale: Any, limits: Any) -> None:
    if axis.log:
        scale("log")
    limits(axis.low, axis.high)


def _draw_element(axes: Axes, element: Any, top: float) -> None:
    match element:
        case Line(xs, ys, style, _, weight):
            axes.plot(xs, ys, color=style.on_light, linestyle=_linestyle(style), linewidth=_WEIGHTS[weight])
        case Band(xs, lows, highs, style):
            axes.fill_between(xs, lows, highs, color=style.on_light, alpha=0.15, linewidth=0)
        case Through(xs, ys, style):
            axes.plot(xs, ys, color=_GRAY, linestyle=_linestyle(style), linewidth=1.1)
        case Mark(x, y, style):
            if element.bar:
                axes.plot([x, x], element.bar, color=style.on_light, linewidth=1)
            axes.plot(x, y, style.marker, color=style.on_light, markersize=5.5)
        case Dot(x, y, style):
            axes.plot(x, y, ".", color=style.on_light, alpha=0.6, markersize=5, markeredgewidth=0)
        case Cut(x, style):
            axes.plot(x, top, "^", color=style.on_light, markersize=5, clip_on=False)
        case Star(x, y):
            axes.plot(x, y, "*k", fillstyle="none", markersize=9)
        case Label(x, y, text):
            axes.annotate(text, (x, y), (4, 4), textcoords="offset points", fontsize=7, color="#444444")
        case Frontier(xs, ys):
            axes.plot(xs, ys, color="#999999", linestyle="--", linewidth=1)
        case Rule(x):
            axes.axvline(x, color="#aaaaaa", linewidth=0.8, linestyle=":")


def _linestyle(style: Style) -> Any:
    """Convert SVG's dashes, in points, to matplotlib's, in line widths."""
    return (0, tuple(float(length) / 1.5 for length in style.dash.split())) if style.dash else "-"


def _finish(name: str, figure: Figure) -> StaticFigure:
    svg, png = io.BytesIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.savefig(png, format="png", metadata={"Software": None})
    return StaticFigure(name, svg.getvalue(), png.getvalue())
