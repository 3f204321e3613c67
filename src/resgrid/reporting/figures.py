"""The report's figures, drawn with matplotlib's objects alone (no pyplot, so no global state), on white.

Equal results give equal bytes: the style starts from matplotlib's defaults whatever the user's own settings are,
the names inside an SVG are salted, and no date is written.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator
from numpy.typing import NDArray

from resgrid.reporting.results import Measure, NetworkResult, Results

MAX_CONFUSION_CLASSES = 20

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
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.7,
    "text.parse_math": False,  # a class may be named $x$
    "legend.frameon": False,
    "svg.hashsalt": "resgrid",
    "svg.fonttype": "path",
    "savefig.dpi": 180,
}
_WIDTH = 7.4  # inches: the page's column; on a telephone the letters stay readable at half of it

# Okabe and Ito's colours, which people with any colour vision tell apart; the marker says the same once more.
_SHORTCUT_LOOKS = {"none": ("#D55E00", "s"), "A": ("#0072B2", "o"), "B": ("#009E73", "^"), "C": ("#CC79A7", "D")}
_SHORTCUT_NAMES = {"none": "plain", "A": "residual, option A", "B": "residual, option B", "C": "residual, option C"}
_PANEL_TITLES = {
    "none": "Plain",
    "A": "Residual, option A",
    "B": "Residual, option B",
    "C": "Residual, option C",
}

_ALL = 100  # percent
_CURVES = ("train/error", "val/error")
_ASIDE = 0.13  # of the distance between two depths: twins stand beside each other, seeds beside their mean
_PANELS_IN_A_ROW = 3
_MAX_BANDS = 5  # more would cover each other
_NUMBERED_CLASSES = 12
_SHOWN_PERCENT = 0.5
_DARK_PERCENT = 55
_LONGEST_LABEL = 12


@dataclass(frozen=True)
class Picture:
    """A finished figure.

    Attributes:
        name: of its files, without suffix.
        caption: what to see, for the line under it.
        alt: what it shows, for those who don't see it.
    """

    name: str
    caption: str
    alt: str
    svg: bytes
    png: bytes


def draw_depth(results: Results, published: Mapping[str, float]) -> Picture:
    """Error against depth by shortcut option: training beside test (the paper's Fig. 1 and Table 6).

    Args:
        published: test errors in percent by network name, which must be like for like; may be empty.
    """
    stars = {
        results.depths.index(result.network.depth): published[result.name]
        for result in results.networks
        if result.name in published
    }
    bars = "Markers are means, bars sample deviations, small dots the seeds." if _seeds(results) > 1 else "One seed."
    spans = [
        f"{_SHORTCUT_NAMES[shortcut]}: {_span(group, 'train_error')} in training, {_span(group, 'test_error')} in test"
        for shortcut, group in results.by_shortcut.items()
    ]
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(_WIDTH, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        _draw_errors(left, results, "train_error", "Training error")
        _draw_errors(right, results, "test_error", "Test error")
        if stars:
            right.plot(list(stars), list(stars.values()), "*k", fillstyle="none", markersize=9, label="the paper")
        left.set_ylabel("error (%)")
        top = left.get_ylim()[1]
        left.set_ylim(-0.02 * top, top)  # markers at zero stay whole
        handles, labels = right.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        return _finish(
            figure,
            name="depth",
            caption=f"Error of the final weights by depth; depths are evenly spaced. {bars}"
            + (" Stars are the paper's numbers." if stars else ""),
            alt=f"Two charts of error against depth, training left and test right. {'; '.join(spans)}.",
        )


def draw_curves(results: Results, milestones: Sequence[int]) -> Picture:
    """Training curves, one panel for each shortcut option on the same axes (the paper's Fig. 6).

    Args:
        milestones: steps at which the learning rate drops.
    """
    groups = results.by_shortcut
    columns = len(groups) if len(groups) <= _PANELS_IN_A_ROW else 2
    rows = math.ceil(len(groups) / columns)
    colours = _depth_colours(results.depths)
    banded = _seeds(results) > 1 and len(colours) <= _MAX_BANDS
    top = _top_of_curves(results)
    caption = [
        "Validation error (bold) and error on the training batches as they came, augmented (thin).",
        "Lines are means over the seeds." if _seeds(results) > 1 else "",
        "Bands reach from the lowest to the highest seed." if banded else "",
        "Dotted lines: the learning rate drops." if milestones else "",
        f"What lies above {top} % is cut off." if top < _ALL else "",
    ]
    ends = [f"{_PANEL_TITLES[shortcut]}: {_span(group, 'val_error')} at the end" for shortcut, group in groups.items()]
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(_WIDTH, 3.1 * rows + 0.6), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, (shortcut, group) in zip(panels.flat, groups.items(), strict=True):
            axes.set_title(_PANEL_TITLES[shortcut])
            for milestone in milestones:
                axes.axvline(milestone, color="#aaaaaa", linewidth=0.8, linestyle=":")
            for network in group:
                _draw_curve(axes, network, colours[network.network.depth], banded)
        _scale_curves(panels, top)
        figure.legend(
            [Line2D([], [], color=colour, linewidth=2.2) for colour in colours.values()],
            [f"depth {depth}" for depth in colours],
            title="bold: validation error, thin: training error",
            loc="outside lower center",
            ncols=min(len(colours), 6),
        )
        return _finish(
            figure,
            name="curves",
            caption=" ".join(filter(None, caption)),
            alt=f"Curves of error against step, one panel for each kind of network. Validation: {'; '.join(ends)}.",
        )


def draw_confusions(results: Results, classes: Sequence[str]) -> Picture:
    """Confusion matrices of the test, one for each network: summed over seeds, in percent of the actual class.

    Each row of matrices is of one shortcut option, so that twins of one depth stand above each other.
    """
    depths, shortcuts = results.depths, list(results.by_shortcut)
    columns = min(len(depths), _PANELS_IN_A_ROW)
    networks = {(result.network.depth, result.network.shortcut): result for result in results.networks}
    bands = [depths[start : start + columns] for start in range(0, len(depths), columns)]
    layout = [[networks.get((depth, shortcut)) for depth in band] for band in bands for shortcut in shortcuts]
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(_WIDTH, 2.3 * len(layout) + 0.4), layout="constrained")
        panels = figure.subplots(len(layout), columns, squeeze=False)
        for axes in panels.flat:
            axes.set_axis_off()
        for row, networks_of_row in enumerate(layout):
            ends_band = (row + 1) % len(shortcuts) == 0
            for column, network in enumerate(networks_of_row):
                if network is None:
                    continue
                _draw_confusion(panels[row, column], network, len(classes))
                _name_classes(
                    panels[row, column],
                    classes,
                    rows=column == 0 or networks_of_row[column - 1] is None,
                    columns=ends_band or layout[row + 1][column] is None,
                )
        figure.supxlabel("predicted class", fontsize=9)
        figure.supylabel("actual class", fontsize=9)
        return _finish(
            figure,
            name="confusion",
            caption="Percent of the test images of each actual class (row), over all seeds, by the final weights; "
            f"below {_SHOWN_PERCENT:g} % left blank. The diagonal is right. Shades follow the share's square root.",
            alt=f"Confusion matrices of {len(classes)} classes: {', '.join(each.name for each in results.by_depth)}.",
        )


def _draw_errors(axes: Axes, results: Results, measure: Measure, title: str) -> None:
    groups = results.by_shortcut
    for index, (shortcut, group) in enumerate(groups.items()):
        colour, marker = _SHORTCUT_LOOKS[shortcut]
        aside = _ASIDE * (index - (len(groups) - 1) / 2)
        places = [results.depths.index(result.network.depth) + aside for result in group]
        spreads = [result.errors[measure] for result in group]
        for place, spread in zip(places, spreads, strict=True) if _seeds(results) > 1 else ():
            beside = [place - _ASIDE / 2] * spread.n
            axes.plot(beside, spread.values, ".", color=colour, alpha=0.6, markersize=5.5, markeredgewidth=0)
        axes.errorbar(
            places,
            [spread.mean for spread in spreads],
            yerr=[spread.deviation or 0 for spread in spreads],
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=1.4,
            elinewidth=1,
            capsize=3,
            label=_SHORTCUT_NAMES[shortcut],
        )
    axes.set_title(title)
    axes.set_xlabel("depth (weighted layers)")
    axes.set_xticks(range(len(results.depths)), [str(depth) for depth in results.depths])
    axes.tick_params(axis="x", labelsize=min(9, 80 / len(results.depths)))
    axes.set_xlim(-0.5, len(results.depths) - 0.5)
    axes.grid(axis="y")


def _draw_curve(axes: Axes, network: NetworkResult, colour: str, banded: bool) -> None:
    train, val = network.curves("train/error"), network.curves("val/error")
    if banded:
        axes.fill_between(val.index, val.min(axis=1), val.max(axis=1), color=colour, alpha=0.18, linewidth=0)
    axes.plot(train.index, train.mean(axis=1), color=colour, linewidth=0.8)
    axes.plot(val.index, val.mean(axis=1), color=colour, linewidth=2.0)


def _scale_curves(panels: NDArray[Any], top: int) -> None:
    panels[0, 0].set_ylim(0, top)
    panels[0, 0].set_xlim(left=0)
    for axes in panels.flat:
        axes.grid(axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    for axes in panels[-1]:
        axes.set_xlabel("step")
    for axes in panels[:, 0]:
        axes.set_ylabel("error (%)")


def _draw_confusion(axes: Axes, network: NetworkResult, size: int) -> None:
    shares = row_percent(network.confusion)
    # The square root lets rare confusions be seen: 4 % has a fifth of full colour instead of a twenty-fifth.
    axes.pcolormesh(np.sqrt(shares), cmap="Blues", vmin=0, vmax=10, edgecolors="white", linewidth=0.4)
    axes.set_axis_on()
    axes.set_title(network.name, fontsize=9)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)
    if size > _NUMBERED_CLASSES:
        return
    for actual, predicted in np.argwhere(shares >= _SHOWN_PERCENT):
        share = shares[actual, predicted]
        colour = "white" if share > _DARK_PERCENT else "#222222"
        place = (predicted + 0.5, actual + 0.5)
        number = axes.text(*place, f"{share:.0f}", color=colour, ha="center", va="center", fontsize=54 / size)
        number.set_in_layout(False)  # it lies inside its square, and laying out thousands takes long


def _name_classes(axes: Axes, classes: Sequence[str], rows: bool, columns: bool) -> None:
    labels = [name if len(name) <= _LONGEST_LABEL else name[: _LONGEST_LABEL - 1] + "…" for name in classes]
    centres = np.arange(len(classes)) + 0.5
    upright = max(len(label) for label in labels) > 2
    axes.tick_params(length=0, labelsize=min(6.5, 75 / len(classes)))
    axes.set_xticks(centres, labels if columns else [""] * len(labels), rotation=90 if upright else 0)
    axes.set_yticks(centres, labels if rows else [""] * len(labels))


def row_percent(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each row in percent of its sum; a class without images stays zero."""
    images = confusion.sum(axis=1, keepdims=True)
    return 100 * confusion / np.maximum(images, 1)


def _depth_colours(depths: Sequence[int]) -> dict[int, str]:
    """Dark to light with depth, legible on white up to the lightest."""
    shades = mpl.colormaps["plasma"](np.linspace(0, 0.8, len(depths)))
    return {depth: to_hex(shade) for depth, shade in zip(depths, shades, strict=True)}


def _top_of_curves(results: Results) -> int:
    """The end of the error axis, in percent: all but the first quarter of the steps lies below it."""
    means = [network.curves(column).mean(axis=1) for network in results.networks for column in _CURVES]
    later = max(float(mean[mean.index >= mean.index[-1] / 4].max()) for mean in means)
    unit = 10 if later > 20 else 2
    return min(unit * math.ceil(later / unit) or unit, _ALL)


def _span(group: Sequence[NetworkResult], measure: Measure) -> str:
    """Such as: 1.11 % (plain8) to 37.22 % (plain32)."""
    ends = [group[0], group[-1]] if len(group) > 1 else [group[0]]
    return " to ".join(f"{result.errors[measure].mean:.2f} % ({result.name})" for result in ends)


def _seeds(results: Results) -> int:
    return len(results.networks[0].cells)


def _finish(figure: Figure, name: str, caption: str, alt: str) -> Picture:
    svg, png = io.BytesIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.set_layout_engine("none")  # the first one's layout stays
    figure.savefig(png, format="png", metadata={"Software": None})
    return Picture(name, caption, alt, svg.getvalue(), png.getvalue())
