"""Charts as data: a title, two axes, and the elements between them; `svg` and `static_figures` draw them.

Every element means one thing throughout the report, and each figure says so in its key (`ChartGroup.key`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from resgrid.reporting.axes import Axis
from resgrid.reporting.results import NetworkResult
from resgrid.reporting.statistics import Interval
from resgrid.reporting.style import Style

Weight = Literal["bold", "thin"]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Line:
    """A line of one network.

    Attributes:
        weight: `thin` for training errors, `bold` for all else.
        curve: the column of `curve.csv` that is drawn; the page contains its values once, for all charts.
        source: `<file>#<column>` of each cell whose mean is drawn.
    """

    xs: Values
    ys: Values
    style: Style
    network: str
    weight: Weight
    curve: str | None
    source: str


@dataclass(frozen=True, eq=False)
class Band:
    """The area from the lowest to the highest seed of one network."""

    xs: Values
    lows: Values
    highs: Values
    style: Style
    network: str


@dataclass(frozen=True, eq=False)
class Through:
    """A line through the markers of one kind, which belong to several networks."""

    xs: Values
    ys: Values
    style: Style


@dataclass(frozen=True, eq=False)
class Mark:
    """A network's marker.

    Attributes:
        source: `<file>#<field>` of each cell whose mean is `y`; empty if it is not of one file's field.
        bar: the 95% confidence interval of the mean over seeds; None if it is unknown.
    """

    x: float
    y: float
    style: Style
    network: str
    tooltip: str
    source: str
    bar: Interval | None


@dataclass(frozen=True)
class Dot:
    """One seed next to its network's marker."""

    x: float
    y: float
    style: Style
    network: str


@dataclass(frozen=True)
class Cut:
    """A sign at the top edge, where a line or a bar leaves the chart."""

    x: float
    style: Style
    network: str
    tooltip: str


@dataclass(frozen=True)
class Star:
    """A published number."""

    x: float
    y: float
    tooltip: str


@dataclass(frozen=True)
class Label:
    """A network's name next to its point."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, eq=False)
class Frontier:
    """The stepped line below which no network lies."""

    xs: Values
    ys: Values


@dataclass(frozen=True)
class Rule:
    """A vertical line where the learning rate drops."""

    x: float


Element = Line | Band | Through | Mark | Dot | Cut | Star | Label | Frontier | Rule


class Chart:
    """One chart.

    Args:
        alt: description of the chart for screen readers.
    """

    def __init__(self, title: str, x: Axis, y: Axis, alt: str) -> None:
        self.title, self.x, self.y, self.alt = title, x, y, alt
        self.elements: list[Element] = []

    def line(
        self,
        xs: ArrayLike,
        ys: ArrayLike,
        style: Style,
        network: str,
        weight: Weight = "bold",
        curve: str | None = None,
        source: str = "",
    ) -> None:
        """Draw a line, and a `Cut` where it last leaves the chart at the top."""
        xs, ys = _values(xs), _values(ys)
        self.elements.append(Line(xs, ys, style, network, weight, curve, source))
        beyond = np.flatnonzero(ys > self.y.high)
        if len(beyond):
            self._cut(float(xs[beyond[-1]]), float(np.nanmax(ys)), style, network)

    def band(self, xs: ArrayLike, lows: ArrayLike, highs: ArrayLike, style: Style, network: str) -> None:
        """Shade from the lowest to the highest seed."""
        self.elements.append(Band(_values(xs), _values(lows), _values(highs), style, network))

    def connect(self, xs: ArrayLike, ys: ArrayLike, style: Style) -> None:
        """Draw a line through the markers of one kind."""
        self.elements.append(Through(_values(xs), _values(ys), style))

    def mark(
        self, x: float, y: float, style: Style, network: str, tooltip: str, source: str, bar: Interval | None = None
    ) -> None:
        """Draw a network's marker, and a `Cut` if its bar leaves the chart at the top."""
        self.elements.append(Mark(x, y, style, network, tooltip, source, bar))
        if bar and bar[1] > self.y.high:
            self._cut(x, bar[1], style, network)

    def dot(self, x: float, y: float, style: Style, network: str) -> None:
        """Draw one seed."""
        self.elements.append(Dot(x, y, style, network))

    def star(self, x: float, y: float, tooltip: str) -> None:
        """Draw a published number."""
        self.elements.append(Star(x, y, tooltip))

    def label(self, x: float, y: float, text: str) -> None:
        """Write a network's name next to its point."""
        self.elements.append(Label(x, y, text))

    def frontier(self, xs: ArrayLike, ys: ArrayLike) -> None:
        """Draw the stepped line below which no network lies."""
        self.elements.append(Frontier(_values(xs), _values(ys)))

    def rule(self, x: float) -> None:
        """Draw where the learning rate drops."""
        self.elements.append(Rule(x))

    def _cut(self, x: float, highest: float, style: Style, network: str) -> None:
        self.elements.append(Cut(x, style, network, f"{network}: cut off, up to {highest:.4g}"))


@dataclass(frozen=True)
class ChartGroup:
    """Charts that form one figure, and the networks in them."""

    charts: tuple[Chart, ...]
    networks: tuple[NetworkResult, ...]

    @property
    def key(self) -> list[str]:
        """What the elements in these charts mean."""
        elements = [element for chart in self.charts for element in chart.elements]
        return [text for text, is_used in _KEYS if is_used(elements)]


def _has_weight(weight: Weight, elements: Iterable[Element]) -> bool:
    return any(isinstance(element, Line) and element.weight == weight for element in elements)


def _has(kind: type[Element], elements: Iterable[Element]) -> bool:
    return any(isinstance(element, kind) for element in elements)


_KEYS: tuple[tuple[str, Callable[[list[Element]], bool]], ...] = (
    ("thin line: training error, bold line: validation error", lambda elements: _has_weight("thin", elements)),
    ("line: mean over seeds", lambda elements: _has(Line, elements)),
    ("marker: mean over seeds", lambda elements: _has(Mark, elements)),
    (
        "bar: 95% confidence interval of the mean",
        lambda elements: any(isinstance(element, Mark) and element.bar for element in elements),
    ),
    ("band: lowest to highest seed", lambda elements: _has(Band, elements)),
    ("dot: one seed", lambda elements: _has(Dot, elements)),
    ("star: the paper", lambda elements: _has(Star, elements)),
    ("▲ at the top: cut off", lambda elements: _has(Cut, elements)),
    ("dotted: the learning rate drops", lambda elements: _has(Rule, elements)),
    ("dashed steps: lowest error for the cost", lambda elements: _has(Frontier, elements)),
)


def _values(values: ArrayLike) -> Values:
    return np.asarray(values, dtype=float)
