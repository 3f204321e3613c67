"""The page's charts: panels of SVG in the page itself, with real text, in the page's colors, light or dark.

A panel is as wide as a telephone, so panels stand side by side on a screen and below each other on a telephone, with
letters of one size. The page's script finds in the elements what it needs to filter them and to tell their values: the
plot's scales (`data-x`, `data-y`: low, high, `log` or `linear`), and at each line its network and its values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike, NDArray

from resgrid.reporting.style import Look

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


@dataclass(frozen=True)
class Axis:
    """One axis: what it says, its ends, and where it has ticks.

    Attributes:
        log: decades are evenly spaced; the ends are above zero.
    """

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def place(self, values: ArrayLike) -> NDArray[np.float64]:
        """Shares of the axis's length, 0 at its low end."""
        values = np.asarray(values, dtype=float)
        if self.log:
            return np.log(np.maximum(values, self.low * 1e-3) / self.low) / math.log(self.high / self.low)
        return (values - self.low) / (self.high - self.low)


def linear_axis(label: str, low: float, high: float, whole: bool = False) -> Axis:
    """An axis with round ticks; `whole` for counts."""
    if high <= low:
        high = low + 1
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    if whole:
        step = max(1, round(step))
    first = math.ceil(low / step - 1e-9)
    ticks = tuple((index * step, in_short(index * step)) for index in range(first, math.floor(high / step + 1e-9) + 1))
    return Axis(label, low, high, ticks)


def log_axis(label: str, low: float, high: float) -> Axis:
    """A logarithmic axis around these values, with ticks at 1, 2, 5 of each decade; more of them within one decade, and
    the decades alone where there are many."""
    low, high = low / 1.25, high * 1.25
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    span = math.log10(high / low)
    factors = (1, 2, 3, 5, 7) if span < 1 else (1, 2, 5) if span < 2.2 else (1,)
    every = max(1, len(decades) // 7) if factors == (1,) else 1
    marks = [factor * 10.0**decade for decade in decades if decade % every == 0 for factor in factors]
    ticks = tuple((mark, in_short(mark)) for mark in marks if low <= mark <= high)
    return Axis(label, low, high, ticks, log=True)


def place_axis(label: str, names: Sequence[str]) -> Axis:
    """An axis of evenly spaced names, the first at 0."""
    return Axis(label, -0.5, len(names) - 0.5, tuple((index, name) for index, name in enumerate(names)))


def in_short(value: float) -> str:
    """Such as: 0, 0.5, 60, 16k, 2.8G, 1e-05."""
    size = abs(value)
    for bound, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= bound:
            return f"{value / {'G': 1e9, 'M': 1e6, 'k': 1e3}[letter]:g}{letter}"
    return f"{value:.0e}".replace("e-0", "e-") if 0 < size < 1e-3 else f"{value:g}"


class _Words(NamedTuple):
    """A label and its place in the plot, in pixels; its width is an estimate, as nobody knows the reader's font."""

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

    def meets(self, other: _Words) -> bool:
        left, right = self.span
        begin, end = other.span
        return left < end and begin < right and abs(self.baseline - other.baseline) < _LINE_HEIGHT


class Panel:
    """One chart: a title, two axes, and what is drawn between them.

    Args:
        alt: what the chart shows, for those who don't see it.
    """

    def __init__(self, title: str, x: Axis, y: Axis, alt: str) -> None:
        self.title, self.x, self.y, self.alt = title, x, y, alt
        self._drawn: list[Markup] = []
        self._words: list[_Words] = []

    def line(
        self,
        xs: ArrayLike,
        ys: ArrayLike,
        look: Look,
        network: str,
        weight: str = "bold",
        curve: str | None = None,
        source: str = "",
    ) -> None:
        """A line of one network.

        Args:
            weight: `bold` or `thin`.
            curve: the column of `curve.csv` that is drawn: its values stand once in the page, for every chart.
            source: `<file>#<column>` of each cell whose mean is drawn.
        """
        xs, ys = np.asarray(xs, dtype=float), np.asarray(ys, dtype=float)
        attributes = Markup(' data-curve="{}"').format(curve) if curve else _values(xs, ys, source)
        self._drawn.append(
            Markup('<path class="line {} {}" data-network="{}"{}{} d="{}"/>').format(
                weight, look.color, network, _dash(look), attributes, self._path(xs, ys)
            )
        )

    def band(self, xs: ArrayLike, lows: ArrayLike, highs: ArrayLike, look: Look, network: str) -> None:
        """The area between two lines of one network."""
        there, back = np.asarray(xs, dtype=float), np.asarray(xs, dtype=float)[::-1]
        edge = self._path(
            np.concatenate([there, back]), np.concatenate([np.asarray(lows, float), np.asarray(highs, float)[::-1]])
        )
        self._drawn.append(
            Markup('<path class="band {}" data-network="{}" d="{}Z"/>').format(look.color, network, edge)
        )

    def connect(self, xs: ArrayLike, ys: ArrayLike, look: Look) -> None:
        """A line through the marks of one kind, which are of several networks."""
        path = self._path(np.asarray(xs, dtype=float), np.asarray(ys, dtype=float))
        self._drawn.append(Markup('<path class="through"{} d="{}"/>').format(_dash(look), path))

    def mark(
        self, x: float, y: float, look: Look, network: str, says: str, source: str, reach: float | None = None
    ) -> None:
        """A network's marker.

        Args:
            says: what it says when pointed at.
            source: `<file>#<field>` of each cell whose mean `y` is.
            reach: of the bar up and down, in units of y.
        """
        bar = Markup("")
        if reach:
            ends = self._path(np.array([x, x]), np.array([y - reach, y + reach]))
            bar = Markup('<path class="reach {}" d="{}"/>').format(look.color, ends)
        left, top = self._point(x, y)
        self._drawn.append(
            Markup(
                '<g class="mark" data-network="{}" data-y="{:.10g}" data-source="{}" data-how="mean">'
                '<title>{}</title>{}<path class="{}" d="{}" transform="translate({} {})"/></g>'
            ).format(network, y, source, says, bar, look.color, _MARKERS[look.marker], left, top)
        )

    def dot(self, x: float, y: float, look: Look, network: str) -> None:
        """One seed beside its network's marker."""
        left, top = self._point(x, y)
        self._drawn.append(
            Markup('<circle class="dot {}" data-network="{}" cx="{}" cy="{}" r="1.7"/>').format(
                look.color, network, left, top
            )
        )

    def star(self, x: float, y: float, says: str) -> None:
        """A published number."""
        left, top = self._point(x, y)
        self._drawn.append(
            Markup('<g class="star"><title>{}</title><path d="{}" transform="translate({} {})"/></g>').format(
                says, "M0 -6L1.5 -2L5.7 -1.9L2.4 .8L3.5 4.9L0 2.5L-3.5 4.9L-2.4 .8L-5.7 -1.9L-1.5 -2Z", left, top
            )
        )

    def label(self, x: float, y: float, text: str, network: str = "") -> None:
        """Words beside a point, on a side where they run over neither the plot's edge nor earlier words."""
        left, top = self._point(x, y)
        places = [_Words(left + 6, top - 5, text, "start"), _Words(left - 6, top - 5, text, "end")]
        places += [_Words(left - 6, top + 13, text, "end"), _Words(left + 6, top + 13, text, "start")]
        free = (words for words in places if words.is_inside and not any(map(words.meets, self._words)))
        words = next(free, places[0])
        self._words.append(words)
        self._drawn.append(
            Markup('<text class="label" x="{}" y="{}" text-anchor="{}" data-network="{}">{}</text>').format(
                round(words.x, 1), round(words.baseline, 1), words.anchor, network, text
            )
        )

    def frontier(self, xs: ArrayLike, ys: ArrayLike) -> None:
        """The edge that no network lies beyond."""
        path = self._path(np.asarray(xs, dtype=float), np.asarray(ys, dtype=float))
        self._drawn.append(Markup('<path class="frontier" d="{}"/>').format(path))

    def rule(self, x: float) -> None:
        """A dotted upright line, where the learning rate drops for instance."""
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
            + Markup('<text class="says" x="{}" y="{}" text-anchor="middle">{}</text>').format(
                _LEFT + PLOT_WIDTH / 2, HEIGHT - 6, self.x.label
            )
            + Markup(
                '<text class="says" transform="translate(11 {}) rotate(-90)" text-anchor="middle">{}</text>'
            ).format(_TOP + PLOT_HEIGHT / 2, self.y.label)
        )
        return str(
            Markup(
                '<svg class="panel" viewBox="0 0 {} {}" role="img" aria-label="{}">{}'
                '<svg class="plot" x="{}" y="{}" width="{}" height="{}" data-x="{}" data-y="{}" data-x-says="{}">{}'
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
        """SVG's path through the points; it breaks where a value is missing."""
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


def swatch(look: Look, colored: bool = True) -> Markup:
    """The line and the marker of a network, for legends; without its color those of its kind."""
    color = look.color if colored else "any"
    return Markup(
        '<svg class="swatch" viewBox="0 0 34 12" aria-hidden="true"><path class="line bold {}" d="M0 6H34"{}/>'
        '<path class="{}" d="{}" transform="translate(17 6)"/></svg>'
    ).format(color, _dash(look), color, _MARKERS[look.marker])


def heat_map(shares: NDArray[np.float64], names: Sequence[str], title: str, alt: str, least: float) -> Markup:
    """A confusion matrix: percent of each row's images; shares below `least` percent stay blank.

    Shades follow the share's square root, so that rare confusions can be seen.
    """
    size, side = len(names), 200 / len(names)
    numbered = size <= 12
    squares: list[Markup] = []
    for actual, predicted in np.argwhere(shares >= least).tolist():
        share = float(shares[actual, predicted])
        left, top = round(predicted * side, 1), round(actual * side, 1)
        squares.append(
            Markup('<rect x="{}" y="{}" width="{}" height="{}" fill-opacity="{}"/>').format(
                left, top, round(side - 0.5, 1), round(side - 0.5, 1), round(math.sqrt(share / 100), 2)
            )
        )
        if numbered:
            squares.append(
                Markup('<text{} data-pair="{} {}" x="{}" y="{}">{}</text>').format(
                    Markup(' class="on"') if share > 30 else "",
                    actual,
                    predicted,
                    round(left + side / 2, 1),
                    round(top + side / 2 + 2.6, 1),
                    f"{share:.0f}",
                )
            )
    if numbered:
        for index, name in enumerate(names):
            middle = round((index + 0.5) * side, 1)
            short = name if len(name) <= 9 else name[:8] + "…"
            squares.append(Markup('<text class="row" x="-4" y="{}">{}</text>').format(middle + 2.6, short))
            squares.append(
                Markup('<text class="column" transform="translate({} 206) rotate({})">{}</text>').format(
                    middle + (0 if len(short) <= 2 else 2.6), 0 if len(short) <= 2 else -90, short
                )
            )
    return Markup(
        '<svg class="heat" viewBox="-46 -22 250 276" role="img" aria-label="{}">'
        '<text class="name" x="0" y="-9">{}</text><rect class="ground" width="200" height="200"/>{}</svg>'
    ).format(alt, title, Markup("").join(squares))


def _values(xs: NDArray[np.float64], ys: NDArray[np.float64], source: str) -> Markup:
    numbered = Markup("")
    if xs.tolist() != list(range(1, len(xs) + 1)):
        numbered = Markup(' data-xs="{}"').format(" ".join(f"{x:.6g}" for x in xs.tolist()))
    how = Markup(' data-source="{}" data-how="mean"').format(source) if source else Markup("")
    values = " ".join("-" if math.isnan(y) else f"{y:.4g}" for y in ys.tolist())
    return Markup('{} data-ys="{}"{}').format(numbered, values, how)


def _dash(look: Look) -> Markup:
    return Markup(' stroke-dasharray="{}"').format(look.dash) if look.dash else Markup("")


def _scale(axis: Axis) -> str:
    return f"{axis.low:g} {axis.high:g} {'log' if axis.log else 'linear'}"


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
