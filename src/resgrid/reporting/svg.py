"""Charts as SVG inside the page, with real text, in the page's colors, light or dark.

A chart fits a phone's width, so several form rows on a screen and a column on a phone, with one text size. Filters and
tooltips read attributes of the elements: the plot's scales (`data-x`, `data-y`: low, high, `log` or `linear`), and each
line's network and values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from resgrid.reporting.axes import Axis
from resgrid.reporting.chart import Band, Chart, Cut, Dot, Element, Frontier, Label, Line, Mark, Rule, Star, Through
from resgrid.reporting.style import Style

WIDTH, HEIGHT = 400, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 10, 28, 40
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
_LETTER_WIDTH, _LINE_HEIGHT = 6.0, 11.0  # of labels
_MARKERS = {
    "o": "M-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0 -7.2 0Z",
    "s": "M-3.3 -3.3H3.3V3.3H-3.3Z",
    "^": "M0 -4.2L4 3H-4Z",
    "v": "M0 4.2L4 -3H-4Z",
    "D": "M0 -4.4L4.4 0L0 4.4L-4.4 0Z",
    "P": "M-1.4 -4H1.4V-1.4H4V1.4H1.4V4H-1.4V1.4H-4V-1.4H-1.4Z",
    "X": "M-4 -2L-2 -4L0 -2L2 -4L4 -2L2 0L4 2L2 4L0 2L-2 4L-4 2L-2 0Z",
}
_STAR = "M0 -6L1.5 -2L5.7 -1.9L2.4 .8L3.5 4.9L0 2.5L-3.5 4.9L-2.4 .8L-5.7 -1.9L-1.5 -2Z"


class _Label(NamedTuple):
    """A label and its position in the plot, in pixels; its width is an estimate, since the reader's font is unknown."""

    x: float
    baseline: float
    text: str
    anchor: str

    @property
    def span(self) -> tuple[float, float]:
        width = _LETTER_WIDTH * len(self.text)
        return (self.x, self.x + width) if self.anchor == "start" else (self.x - width, self.x)

    @property
    def is_inside(self) -> bool:
        left, right = self.span
        return left >= 0 and right <= PLOT_WIDTH and _LINE_HEIGHT <= self.baseline <= PLOT_HEIGHT

    def overlaps(self, other: _Label) -> bool:
        left, right = self.span
        begin, end = other.span
        return left < end and begin < right and abs(self.baseline - other.baseline) < _LINE_HEIGHT


def render(chart: Chart) -> Markup:
    """Return a chart as an SVG element."""
    frame = [Markup('<text class="name" x="{}" y="16">{}</text>').format(_LEFT, chart.title)]
    for value, text in chart.y.ticks:
        top = round(_TOP + PLOT_HEIGHT * (1 - float(chart.y.place(value))), 1)
        frame.append(
            Markup('<path class="grid" d="M{} {}h{}"/><text class="tick" x="{}" y="{}" text-anchor="end">{}</text>')
            .format(_LEFT, top, PLOT_WIDTH, _LEFT - 6, top + 3.5, text)
        )  # fmt: skip
    for value, text in spaced_ticks(chart.x):
        left = round(_LEFT + PLOT_WIDTH * float(chart.x.place(value)), 1)
        frame.append(
            Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(
                left, HEIGHT - _BOTTOM + 15, text
            )
        )
    frame.append(
        Markup('<path class="axis" d="M{} {}h{}"/>').format(_LEFT, HEIGHT - _BOTTOM, PLOT_WIDTH)
        + Markup('<text class="axis-label" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            _LEFT + PLOT_WIDTH / 2, HEIGHT - 6, chart.x.label
        )
        + Markup(
            '<text class="axis-label" transform="translate(11 {}) rotate(-90)" text-anchor="middle">{}</text>'
        ).format(_TOP + PLOT_HEIGHT / 2, chart.y.label)
    )
    drawing = _Drawing(chart.x, chart.y)
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}'
        '<svg class="plot" x="{}" y="{}" width="{}" height="{}" data-x="{}" data-y="{}" data-x-label="{}">{}'
        "</svg></svg>"
    ).format(
        WIDTH,
        HEIGHT,
        chart.alt,
        Markup("").join(frame),
        _LEFT,
        _TOP,
        PLOT_WIDTH,
        PLOT_HEIGHT,
        _scale(chart.x),
        _scale(chart.y),
        chart.x.label,
        Markup("").join(map(drawing.draw, chart.elements)),
    )


def spaced_ticks(axis: Axis) -> Sequence[tuple[float, str]]:
    """Return those of a horizontal axis's ticks whose texts have room."""
    every = max(1, math.ceil(sum(len(text) + 1 for _, text in axis.ticks) * 6 / PLOT_WIDTH))
    return axis.ticks[::every]


class _Drawing:
    """The elements of one chart, in pixels of its plot."""

    def __init__(self, x: Axis, y: Axis) -> None:
        self._x, self._y = x, y
        self._labels: list[_Label] = []

    def draw(self, element: Element) -> Markup:
        match element:
            case Line():
                drawn = self._line(element)
            case Band():
                drawn = self._band(element)
            case Through():
                path = self._path(element.xs, element.ys)
                drawn = Markup('<path class="through"{} d="{}"/>').format(_dash(element.style), path)
            case Mark():
                drawn = self._mark(element)
            case Dot():
                drawn = Markup('<circle class="dot {}" data-network="{}" cx="{}" cy="{}" r="1.7"/>').format(
                    element.style.color, element.network, *self._point(element.x, element.y)
                )
            case Cut():
                left, _ = self._point(element.x, self._y.high)
                drawn = Markup(
                    '<g class="cut" data-network="{}"><title>{}</title><path class="{}" d="M{} 0l4 7h-8Z"/></g>'
                ).format(element.network, element.tooltip, element.style.color, left)
            case Star():
                drawn = Markup(
                    '<g class="star"><title>{}</title><path d="{}" transform="translate({} {})"/></g>'
                ).format(element.tooltip, _STAR, *self._point(element.x, element.y))
            case Label():
                drawn = self._label(element)
            case Frontier():
                drawn = Markup('<path class="frontier" d="{}"/>').format(self._path(element.xs, element.ys))
            case Rule():
                ends = self._path(np.array([element.x] * 2), np.array([self._y.low, self._y.high]))
                drawn = Markup('<path class="rule" d="{}"/>').format(ends)
        return drawn

    def _line(self, line: Line) -> Markup:
        attributes = (
            Markup(' data-curve="{}"').format(line.curve) if line.curve else _values(line.xs, line.ys, line.source)
        )
        return Markup('<path class="line {} {}" data-network="{}"{}{} d="{}"/>').format(
            *(line.weight, line.style.color, line.network, _dash(line.style), attributes, self._path(line.xs, line.ys))
        )

    def _band(self, band: Band) -> Markup:
        known = np.isfinite(band.lows) & np.isfinite(band.highs)
        xs, lows, highs = band.xs[known], band.lows[known], band.highs[known]
        edge = self._path(np.concatenate([xs, xs[::-1]]), np.concatenate([lows, highs[::-1]]))
        return Markup('<path class="band {}" data-network="{}" d="{}Z"/>').format(band.style.color, band.network, edge)

    def _mark(self, mark: Mark) -> Markup:
        bar = Markup("")
        if mark.bar:
            ends = self._path(np.array([mark.x, mark.x]), np.array(mark.bar))
            bar = Markup('<path class="error-bar {}" d="{}"/>').format(mark.style.color, ends)
        source = Markup(' data-source="{}" data-how="mean"').format(mark.source) if mark.source else Markup("")
        left, top = self._point(mark.x, mark.y)
        return Markup(
            '<g class="mark" data-network="{}" data-y="{:.10g}"{}>'
            '<title>{}</title>{}<path class="{}" d="{}" transform="translate({} {})"/></g>'
        ).format(
            *(mark.network, mark.y, source, mark.tooltip, bar),
            *(mark.style.color, _MARKERS[mark.style.marker], left, top),
        )

    def _label(self, label: Label) -> Markup:
        """Write text on a side of its point where it overlaps neither the plot's edge nor earlier text."""
        left, top = self._point(label.x, label.y)
        places = [_Label(left + 6, top - 5, label.text, "start"), _Label(left - 6, top - 5, label.text, "end")]
        places += [_Label(left - 6, top + 13, label.text, "end"), _Label(left + 6, top + 13, label.text, "start")]
        free = (place for place in places if place.is_inside and not any(map(place.overlaps, self._labels)))
        place = next(free, places[0])
        self._labels.append(place)
        return Markup('<text class="label" x="{}" y="{}" text-anchor="{}" data-network="{}">{}</text>').format(
            round(place.x, 1), round(place.baseline, 1), place.anchor, label.text, label.text
        )

    def _point(self, x: float, y: float) -> tuple[float, float]:
        left = PLOT_WIDTH * float(self._x.place(x))
        return round(left, 1), round(PLOT_HEIGHT * (1 - float(self._y.place(y))), 1)

    def _path(self, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> str:
        """Return SVG's path through the points, with gaps where values are missing."""
        lefts, tops = PLOT_WIDTH * self._x.place(xs), PLOT_HEIGHT * (1 - self._y.place(ys))
        parts: list[str] = []
        letter = "M"
        for left, top in zip(lefts.tolist(), tops.tolist(), strict=True):
            if not math.isfinite(top):
                letter = "M"
                continue
            parts.append(f"{letter}{_short(left)} {_short(top)}")
            letter = "L"
        return "".join(parts)


def swatch(style: Style, colored: bool = True) -> Markup:
    """Return a network's line and marker for legends; without color, they stand for its kind."""
    color = style.color if colored else "any"
    return Markup(
        '<svg class="swatch" viewBox="0 0 34 12" aria-hidden="true"><path class="line bold {}" d="M0 6H34"{}/>'
        '<path class="{}" d="{}" transform="translate(17 6)"/></svg>'
    ).format(color, _dash(style), color, _MARKERS[style.marker])


def _values(xs: NDArray[np.float64], ys: NDArray[np.float64], source: str) -> Markup:
    numbered = Markup("")
    if xs.tolist() != list(range(1, len(xs) + 1)):
        numbered = Markup(' data-xs="{}"').format(" ".join(f"{x:.6g}" for x in xs.tolist()))
    how = Markup(' data-source="{}" data-how="mean"').format(source) if source else Markup("")
    values = " ".join("-" if math.isnan(y) else f"{y:.4g}" for y in ys.tolist())
    return Markup('{} data-ys="{}"{}').format(numbered, values, how)


def _dash(style: Style) -> Markup:
    return Markup(' stroke-dasharray="{}"').format(style.dash) if style.dash else Markup("")


def _scale(axis: Axis) -> str:
    return f"{axis.low:g} {axis.high:g} {'log' if axis.log else 'linear'}"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
