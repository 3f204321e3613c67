"""Confusion matrices as SVG, and the pairs of classes that a network confuses most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from resgrid.reporting.results import NetworkResult, Results

_SHOWN_PERCENT = 0.5
_NUMBERED_CLASSES = 12  # more numbers would be too small to read
_SIDE = 200


@dataclass(frozen=True)
class Confusion:
    """Two classes that a network confuses; `share` in percent of the actual class's test images."""

    actual: str
    predicted: str
    images: int
    share: float


def confusion_maps(results: Results, classes: Sequence[str]) -> dict[str, Markup]:
    """Draw each network's confusion matrix, summed over the seeds, in percent of the actual class."""
    maps: dict[str, Markup] = {}
    for network in results.by_depth:
        shares = row_percent(network.confusion)
        right = [f"{name} {share:.0f}%" for name, share in zip(classes, np.diag(shares), strict=True)]
        alt = f"Confusion matrix of {network.name}. Correct: {', '.join(right)}."
        maps[network.name] = _heat_map(shares, classes, network.name, alt)
    return maps


def most_confused(network: NetworkResult, classes: Sequence[str], count: int) -> list[Confusion]:
    """Return at most `count` pairs of classes, by the share of the actual class's images."""
    wrong = network.confusion.copy()
    np.fill_diagonal(wrong, 0)
    shares = row_percent(network.confusion)
    # Stable, so that equal shares keep the order of the classes.
    order = np.argsort(-np.where(wrong > 0, shares, 0), axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(classes)) for place in order]
    return [
        Confusion(classes[actual], classes[predicted], int(wrong[actual, predicted]), float(shares[actual, predicted]))
        for actual, predicted in pairs
        if wrong[actual, predicted]
    ]


def row_percent(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return each row in percent of its sum; a class without images stays zero."""
    images = confusion.sum(axis=1, keepdims=True)
    return 100 * confusion / np.maximum(images, 1)


def _heat_map(shares: NDArray[np.float64], names: Sequence[str], title: str, alt: str) -> Markup:
    """Draw percentages of each row; shades follow the square root, so that rare confusions are visible."""
    numbered = len(names) <= _NUMBERED_CLASSES
    elements = _squares(shares, numbered)
    if numbered:
        elements += [element for index, name in enumerate(names) for element in _class_name(name, index, len(names))]
    return Markup(
        '<svg class="heat" viewBox="-46 -22 250 276" role="img" aria-label="{}">'
        '<text class="name" x="0" y="-9">{}</text><rect class="ground" width="{}" height="{}"/>{}</svg>'
    ).format(alt, title, _SIDE, _SIDE, Markup("").join(elements))


def _squares(shares: NDArray[np.float64], numbered: bool) -> list[Markup]:
    side = _SIDE / len(shares)
    elements: list[Markup] = []
    for actual, predicted in np.argwhere(shares >= _SHOWN_PERCENT).tolist():
        share = float(shares[actual, predicted])
        left, top, width = round(predicted * side, 1), round(actual * side, 1), round(side - 0.5, 1)
        elements.append(
            Markup('<rect x="{}" y="{}" width="{}" height="{}" fill-opacity="{}"/>').format(
                left, top, width, width, round(math.sqrt(share / 100), 2)
            )
        )
        if numbered:
            on_dark = Markup(' class="on"') if share > 30 else ""
            x, y = round(left + side / 2, 1), round(top + side / 2 + 2.6, 1)
            elements.append(
                Markup('<text{} data-pair="{} {}" x="{}" y="{}">{}</text>').format(
                    on_dark, actual, predicted, x, y, f"{share:.0f}"
                )
            )
    return elements


def _class_name(name: str, index: int, count: int) -> list[Markup]:
    """Return a class's name as the label of its row and of its column."""
    middle = round((index + 0.5) * _SIDE / count, 1)
    label = name if len(name) <= 9 else name[:8] + "…"
    upright = len(label) <= 2
    return [
        Markup('<text class="row" x="-4" y="{}">{}</text>').format(middle + 2.6, label),
        Markup('<text class="column" transform="translate({} 206) rotate({})">{}</text>').format(
            middle + (0 if upright else 2.6), 0 if upright else -90, label
        ),
    ]
