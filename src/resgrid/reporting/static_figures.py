"""The main figures as files (PNG and SVG, on white), for papers, pull requests and `dvc plots show`.

Drawn with matplotlib's objects alone (no pyplot, so no global state). Equal results give equal bytes: the style starts
from matplotlib's defaults whatever the user's own settings are, the names inside an SVG are salted, and no date is
written.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from resgrid.reporting.charts import BANDED_AT_MOST, aside, cheapest, spans_decades, top_of_curves
from resgrid.reporting.results import Measure, NetworkResult, Results
from resgrid.reporting.style import Look, kind_title, looks_of
from resgrid.reporting.svg import log_axis

_STYLE = {
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
    "savefig.dpi": 180,
}
_WIDTH = 7.4  # inches
_PANELS_IN_A_ROW = 3
_LISTED_AT_MOST = 24  # a longer legend would be larger than the figure


@dataclass(frozen=True)
class Picture:
    """A finished figure; `name` is that of its files, without suffix."""

    name: str
    svg: bytes
    png: bytes


def draw_figures(results: Results, milestones: Sequence[int], published: Mapping[str, float]) -> list[Picture]:
    """Error by depth, training curves, and test error by cost and layer responses where these are known.

    Args:
        milestones: steps at which the learning rate drops.
        published: test errors in percent by network name, which must be like for like; may be empty.
    """
    looks = looks_of(results)
    with style.context(["default", _STYLE]):
        figures = {"curves": _curves(results, looks, milestones)}
        if results.depths:
            figures["depth"] = _depth(results, looks, published)
        for name, figure in (("cost", _cost(results, looks)), ("responses", _responses(results, looks))):
            if figure is not None:
                figures[name] = figure
        return [_finish(name, figure) for name, figure in figures.items()]


def _depth(results: Results, looks: Mapping[str, Look], published: Mapping[str, float]) -> Figure:
    """Error against depth by kind: training beside test (the paper's Fig. 1 and Table 6)."""
    figure = Figure(figsize=(_WIDTH, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _errors(left, results, looks, "train_error", "Training error")
    _errors(right, results, looks, "test_error", "Test error")
    stars = [(network.depth, published[network.name]) for network in results.networks if network.name in published]
    if stars:
        places = [results.depths.index(depth) for depth, _ in stars if depth is not None]
        right.plot(places, [error for _, error in stars], "*k", fillstyle="none", markersize=9, label="the paper")
    left.set_ylabel("error (%)")
    top = left.get_ylim()[1]
    left.set_ylim(-0.02 * top, top)  # markers at zero stay whole
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 5))
    return figure


def _curves(results: Results, looks: Mapping[str, Look], milestones: Sequence[int]) -> Figure:
    """Training curves, one panel for each kind on the same axes (the paper's Fig. 6)."""
    groups = results.by_kind
    columns = len(groups) if len(groups) <= _PANELS_IN_A_ROW else 2
    rows = math.ceil(len(groups) / columns)
    figure = Figure(figsize=(_WIDTH, 3.1 * rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(groups) :]:
        axes.set_axis_off()
    for axes, (kind, group) in zip(panels.flat, groups.items(), strict=False):
        axes.set_title(kind_title(kind))
        for milestone in milestones:
            axes.axvline(milestone, color="#aaaaaa", linewidth=0.8, linestyle=":")
        for network in group:
            _curve(axes, network, looks[network.name], banded=len(group) <= BANDED_AT_MOST)
    _scale_curves(panels, top_of_curves(results))
    depths = {network.depth: looks[network.name] for network in results.by_depth}
    figure.legend(
        [Line2D([], [], color=look.on_light, linewidth=2.2) for look in depths.values()],
        ["no depth" if depth is None else f"depth {depth}" for depth in depths],
        title="bold: validation error, thin: training error",
        loc="outside lower center",
        ncols=min(len(depths), 6),
    )
    return figure


def _cost(results: Results, looks: Mapping[str, Look]) -> Figure | None:
    """Test error against multiply-adds and parameters, and a line through those that nothing cheaper beats."""
    costs = [(network, network.complexity) for network in results.by_depth if network.complexity is not None]
    if not costs:
        return None
    errors = {network.name: network.errors["test_error"].mean for network, _ in costs}
    figure = Figure(figsize=(_WIDTH, 3.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, field, words in zip(
        panels, ("multiply_adds", "parameters"), ("multiply-adds", "parameters"), strict=True
    ):
        prices = {network.name: float(getattr(complexity, field)) for network, complexity in costs}
        best = cheapest(prices, errors)
        steps = [prices[name] for name in best], [errors[name] for name in best]
        axes.step(*steps, "#999999", where="post", linewidth=1)
        for network, _ in costs:
            name, look = network.name, looks[network.name]
            if deviation := network.errors["test_error"].deviation:
                axes.errorbar(prices[name], errors[name], deviation, color=look.on_light, elinewidth=1, capsize=3)
            axes.plot(prices[name], errors[name], look.marker, color=look.on_light, markersize=5.5, label=name)
        x = log_axis(words, min(prices.values()), max(prices.values()))
        axes.set_xscale("log")
        axes.set_xlim(x.low, x.high)
        axes.set_xticks([place for place, _ in x.ticks], [text for _, text in x.ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_title(f"Test error against {words}")
        axes.set_xlabel(words)
    panels[0].set_ylabel("error (%)")
    panels[0].set_ylim(bottom=0)
    if len(costs) <= _LISTED_AT_MOST:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _responses(results: Results, looks: Mapping[str, Look]) -> Figure | None:
    """Deviation of the layers' responses, in the layers' order and sorted (the paper's Fig. 7)."""
    analyzed = [(network, network.analysis("responses")) for network in results.by_depth]
    found = [(network, analysis.table["std"].to_numpy()) for network, analysis in analyzed if analysis is not None]
    if not found:
        return None
    figure = Figure(figsize=(_WIDTH, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for network, values in found:
        look = looks[network.name]
        line = {"color": look.on_light, "linestyle": _linestyle(look), "linewidth": 1.4, "label": network.name}
        layers = np.arange(1, len(values) + 1)
        left.plot(layers, values, **line)
        right.plot(layers, np.sort(values)[::-1], **line)
    left.set_title("In the order of the layers")
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


def _errors(axes: Axes, results: Results, looks: Mapping[str, Look], measure: Measure, title: str) -> None:
    groups = {kind: [each for each in group if each.depth is not None] for kind, group in results.by_kind.items()}
    groups = {kind: group for kind, group in groups.items() if group}
    for index, (kind, group) in enumerate(groups.items()):
        step = aside(len(groups))
        middle = step * (index - (len(groups) - 1) / 2)
        places = [results.depths.index(network.depth) + middle for network in group if network.depth is not None]
        first = looks[group[0].name]
        means = [network.errors[measure].mean for network in group]
        axes.plot(places, means, color="#777777", linewidth=1.1, linestyle=_linestyle(first))
        for place, network in zip(places, group, strict=True):
            spread, look = network.errors[measure], looks[network.name]
            if spread.n > 1:
                beside = [place - step / 2] * spread.n
                axes.plot(beside, spread.values, ".", color=look.on_light, alpha=0.6, markersize=5.5, markeredgewidth=0)
            bars = {"yerr": spread.deviation or 0, "elinewidth": 1, "capsize": 3}
            axes.errorbar(place, spread.mean, color=look.on_light, marker=look.marker, markersize=5.5, **bars)
        axes.plot([], [], color="#777777", linestyle=_linestyle(first), marker=first.marker, label=kind_title(kind))
    axes.set_title(title)
    axes.set_xlabel("depth (weighted layers)")
    axes.set_xticks(range(len(results.depths)), [str(depth) for depth in results.depths])
    axes.tick_params(axis="x", labelsize=min(9, 80 / len(results.depths)))
    axes.set_xlim(-0.5, len(results.depths) - 0.5)


def _curve(axes: Axes, network: NetworkResult, look: Look, banded: bool) -> None:
    train, val = network.curves("train/error"), network.curves("val/error")
    line = {"color": look.on_light, "linestyle": _linestyle(look)}
    if banded and len(network.cells) > 1:
        axes.fill_between(
            val.index, val.min(axis=1), val.max(axis=1), color=look.on_light, alpha=0.18, linewidth=0
        )  # fmt: skip
    axes.plot(train.index, train.mean(axis=1), linewidth=0.8, **line)
    axes.plot(val.index, val.mean(axis=1), linewidth=2.0, **line)


def _scale_curves(panels: NDArray[Any], top: int) -> None:
    panels[0, 0].set_ylim(0, top)
    panels[0, 0].set_xlim(left=0)
    for axes in panels.flat:
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    for axes in panels[-1]:
        axes.set_xlabel("step")
    for axes in panels[:, 0]:
        axes.set_ylabel("error (%)")


def _linestyle(look: Look) -> Any:
    """SVG's dashes, in points, as matplotlib's, in line widths."""
    return (0, tuple(float(length) / 1.5 for length in look.dash.split())) if look.dash else "-"


def _finish(name: str, figure: Figure) -> Picture:
    svg, png = io.BytesIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.set_layout_engine("none")  # the first one's layout stays
    figure.savefig(png, format="png", metadata={"Software": None})
    return Picture(name, svg.getvalue(), png.getvalue())
