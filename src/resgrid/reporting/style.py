"""Style of networks in every figure: color encodes depth, line and marker encode the kind.

Colors run from dark to light (on a dark page from light to lighter) along matplotlib's plasma, in which neighbors
differ in lightness too, so they remain distinct with any color vision and in grayscale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex

from resgrid.reporting.results import Results

_ON_LIGHT = (0.0, 0.74)  # the parts of plasma with enough contrast to a white and to a dark page
_ON_DARK = (0.42, 0.97)
_NO_DEPTH = ("#4a4d55", "#b4b8c2")
_TITLES = {
    "plain": "Plain",
    "resnet-A": "Residual, option A",
    "resnet-B": "Residual, option B",
    "resnet-C": "Residual, option C",
}
# Dashes in units of the page's charts, and matplotlib's markers.
_LINES = {"plain": ("5 3", "s"), "resnet-A": ("", "o"), "resnet-B": ("9 2 2 2", "^"), "resnet-C": ("2 2", "D")}
_OTHER_LINES = (("12 3", "v"), ("7 2 2 2 2 2", "P"), ("1 3", "X"), ("4 2 1 2", "^"), ("9 5", "D"), ("3 5", "o"))


@dataclass(frozen=True)
class Style:
    """Style of one network.

    Attributes:
        title: the kind as a phrase.
        dash: SVG's `stroke-dasharray`; empty for a solid line.
        marker: matplotlib's letter.
        on_light: color on a white page.
        on_dark: color on a dark page.
        color: the page's CSS class for both colors.
    """

    title: str
    dash: str
    marker: str
    on_light: str
    on_dark: str
    color: str


Styles = Mapping[str, Style]


def network_styles(results: Results) -> dict[str, Style]:
    """Return the style of each network, by name."""
    depths = results.depths
    light, dark = (_ramp(part, len(depths)) for part in (_ON_LIGHT, _ON_DARK))
    others = [kind for kind in results.by_kind if kind not in _LINES]
    styles: dict[str, Style] = {}
    for kind, networks in results.by_kind.items():
        dash, marker = _LINES.get(kind) or _OTHER_LINES[others.index(kind) % len(_OTHER_LINES)]
        for network in networks:
            index = None if network.depth is None else depths.index(network.depth)
            colors = _NO_DEPTH if index is None else (light[index], dark[index])
            styles[network.name] = Style(kind_title(kind), dash, marker, *colors, f"d{network.depth or 0}")
    return styles


def kind_title(kind: str) -> str:
    """Return a kind as a phrase, such as `Residual, option A`."""
    return _TITLES.get(kind, kind)


def _ramp(part: tuple[float, float], count: int) -> list[str]:
    return [to_hex(shade) for shade in mpl.colormaps["plasma"](np.linspace(*part, count))]
