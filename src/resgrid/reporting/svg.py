"""Charts as SVG inside the page, with real text, in the page's colors, light or dark.

A chart fits a phone's width, so several form rows on a screen and a column on a phone, with one text size. Filters and
tooltips read attributes of the elements: the plot's scales (`data-x`, `data-y`: low, high, `log` or `linear`), and each
line's network and values.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike, NDArray

from resgrid.reporting.axes import Axis
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


class Chart:
    """One chart: a title, two axes, and the elements drawn between them.

    Args:
        alt: description of the chart for screen readers.
    """

    def __init__(self, title: str, x: Axis, y: Axis, alt: str) -> None:
        self.title, self.x, self.y, self.alt = title, x, y, alt
        self._drawn: list[Markup] = []
        self._labels: list[_Label] = []

    def line(
        self,
        xs: ArrayLike,
        ys: ArrayLike,
        style: Style,
        network: str,
        weight: str = "bold",
        curve: str | None = None,
        source: str = "",
    ) -> None:
        """Draw a line of one network.

        Args:
            weight: `bold` or `thin`.
            curve: the column of `curve.csv` that is drawn; the page contains its values once, for all charts.
            source: `<file>#<column>` of each cell whose mean is drawn.
        """
        xs, ys = np.asarray(xs, dtype=float), np.asarray(ys, dtype=float)
        attributes = Markup(' data-curve="{}"').format(curve) if curve else _values(xs, ys, source)
        self._drawn.append(
            Markup('<path class="line {} {}" data-network="{}"{}{} d="{}"/>').format(
                weight, style.color, network, _dash(style), attributes, self._path(xs, ys)
            )
        )

    def band(self, xs: ArrayLike, lows: ArrayLike, highs: ArrayLike, style: Style, network: str) -> None:
        """Shade the area between two lines of one network."""
        there, back = np.asarray(xs, dtype=float), np.asarray(xs, dtype=float)[::-1]
        edge = self._path(
            np.concatenate([there, back]), np.concatenate([np.asarray(lows, float), np.asarray(highs, float)[::-1]])
        )
        self._drawn.append(
            Markup('<path class="band {}" data-network="{}" d="{}Z"/>').format(style.color, network, edge)
        )

    def connect(self, xs: ArrayLike, ys: ArrayLike, style: Style) -> None:
        """Draw a line through the markers of one kind, which belong to several networks."""
        path = self._path(np.asarray(xs, dtype=float), np.asarray(ys, dtype=float))
        self._drawn.append(Markup('<path class="through"{} d="{}"/>').format(_dash(style), path))

    def mark(
        self, x: float, y: float, style: Style, network: str, tooltip: str, source: str, bar: float | None = None
    ) -> None:
        """Draw a network's marker.

        Args:
            source: `<file>#<field>` of each cell whose mean is `y`.
            bar: half the length of the error bar, in units of y.
        """
        error_bar = Markup("")
        if bar:
            ends = self._path(np.array([x, x]), np.array([y - bar, y + bar]))
            error_bar = Markup('<path class="error-bar {}" d="{}"/>').format(style.color, ends)
        left, top = self._point(x, y)
        self._drawn.append(
            Markup(
                '<g class="mark" data-network="{}" data-y="{:.10g}" data-source="{}" data-how="mean">'
                '<title>{}</title>{}<path class="{}" d="{}" transform="translate({} {})"/></g>'
            ).format(network, y, source, tooltip, error_bar, style.color, _MARKERS[style.marker], left, top)
        )

    def dot(self, x: float, y: float, style: Style, network: str) -> None:
        """Draw one seed next to its network's marker."""
        left, top = self._point(x, y)
        self._drawn.append(
            Markup('<circle class="dot {}" data-network="{}" cx="{}" cy="{}" r="1.7"/>').format(
                style.color, network, left, top
            )
        )

    def star(self, x: float, y: float, tooltip: str) -> None:
        """Draw a published number."""
        left, top = self._point(x, y)
        self._drawn.append(
            Markup('<g class="star"><title>{}</title><path d="{}" transform="translate({} {})"/></g>').format(
                tooltip, _STAR, left, top
            )
        )

    def label(self, x: float, y: float, text: str, network: str = "") -> None:
        """Write text next to a point, on a side where it overlaps neither the plot's edge nor earlier text."""
        left, top = self._point(x, y)
        places = [_Label(left + 6, top - 5, text, "start"), _Label(left - 6, top - 5, text, "end")]
        places += [_Label(left - 6, top + 13, text, "end"), _Label(left + 6, top + 13, text, "start")]
        free = (label for label in places if label.is_inside and not any(map(label.overlaps, self._labels)))
        label = next(free, places[0])
        self._labels.append(label)
        self._drawn.append(
            Markup('<text class="label" x="{}" y="{}" text-anchor="{}" data-network="{}">{}</text>').format(
                round(label.x, 1), round(label.baseline, 1), label.anchor, network, text
            )
        )

    def frontier(self, xs: ArrayLike, ys: ArrayLike) -> None:
        """Draw the stepped line below which no network lies."""
        path = self._path(np.asarray(xs, dtype=float), np.asarray(ys, dtype=float))
        self._drawn.append(Markup('<path class="frontier" d="{}"/>').format(path))

    def rule(self, x: float) -> None:
        """Draw a dotted vertical line, such as where the learning rate drops."""
        self._drawn.append(
            Markup('<path class="rule" d="{}"/>').format(
                self._path(np.array([x, x]), np.array([self.y.low, self.y.high]))
            )
        )

    def __html__(self) -> str:
        frame = [Markup('<text class="name" x="{}" y="16">{}</text>').format(_LEFT, self.title)]
        for value, text in self.y.ticks:
            top = round(_TOP + PLOT_HEIGHT * (1 - float(self.y.place(value))), 1)
            frame.append(
                Markup('<path class="grid" d="M{} {}h{}"/><text class="tick" x="{}" y="{}" text-anchor="end">{}</text>')
                .format(_LEFT, top, PLOT_WIDTH, _LEFT - 6, top + 3.5, text)
            )  # fmt: skip
        thin = max(1, math.ceil(sum(len(text) + 1 for _, text in self.x.ticks) * 6 / PLOT_WIDTH))
        for value, text in self.x.ticks[::thin]:
            left = round(_LEFT + PLOT_WIDTH * float(self.x.place(value)), 1)
            frame.append(
                Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(
                    left, HEIGHT - _BOTTOM + 15, text
                )
            )
        frame.append(
            Markup('<path class="axis" d="M{} {}h{}"/>').format(_LEFT, HEIGHT - _BOTTOM, PLOT_WIDTH)
            + Markup('<text class="axis-label" x="{}" y="{}" text-anchor="middle">{}</text>').format(
                _LEFT + PLOT_WIDTH / 2, HEIGHT - 6, self.x.label
            )
            + Markup(
                '<text class="axis-label" transform="translate(11 {}) rotate(-90)" text-anchor="middle">{}</text>'
            ).format(_TOP + PLOT_HEIGHT / 2, self.y.label)
        )
        return str(
            Markup(
                '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}'
                '<svg class="plot" x="{}" y="{}" width="{}" height="{}" data-x="{}" data-y="{}" data-x-label="{}">{}'
                "</svg></svg>"
            ).format(
                WIDTH,
                HEIGHT,
                self.alt,
                Markup("").join(frame),
                _LEFT,
                _TOP,
                PLOT_WIDTH,
                PLOT_HEIGHT,
                _scale(self.x),
                _scale(self.y),
                self.x.label,
                Markup("").join(self._drawn),
            )
        )

    def _point(self, x: float, y: float) -> tuple[float, float]:
        left = PLOT_WIDTH * float(self.x.place(x))
        return round(left, 1), round(PLOT_HEIGHT * (1 - float(self.y.place(y))), 1)

    def _path(self, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> str:
        """Return SVG's path through the points, with gaps where values are missing."""
        lefts, tops = PLOT_WIDTH * self.x.place(xs), PLOT_HEIGHT * (1 - self.y.place(ys))
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
