"""A decoded data set: everything but the pixels, and a way to read the pixels block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

BLOCK = 1024  # images


class Block(NamedTuple):
    """Some images of one published split.

    Attributes:
        split: `train` or `test`.
        rows: int64 (n,), row of each image in that split.
        images: uint8 (n, C, H, W).
    """

    split: str
    rows: np.ndarray
    images: np.ndarray


@dataclass(frozen=True, eq=False)
class Decoded:
    """A data set as published.

    Attributes:
        classes: class names; a label is an index into them.
        labels: int64 (N,) for each published split: `train` and, if the data set has one, `test`.
        shape: channels, height, width of every image.
        blocks: reads every image once, in any order.
        notes: what a reader must know before comparing numbers.
        conversions: images that lost information on the way to 8-bit RGB, by kind; counted by `blocks`.
    """

    classes: list[str]
    labels: dict[str, np.ndarray]
    shape: tuple[int, int, int]
    blocks: Callable[[], Iterator[Block]]
    notes: list[str] = field(default_factory=list)
    conversions: Counter[str] = field(default_factory=Counter)


def in_memory(classes: list[str], splits: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Decoded:
    """Return data that fit into memory.

    Args:
        splits: uint8 images (N, C, H, W) and integer labels (N,) of each published split.

    Raises:
        ValueError: splits differ in shape, images and labels differ in number, or labels are out of range.
    """
    shapes = {images.shape[1:] for images, _ in splits.values()}
    if len(shapes) > 1:
        raise ValueError(
            f"{' and '.join(splits)}: have images of different shapes, {', '.join(map(str, sorted(shapes)))}"
        )
    for split, (images, labels) in splits.items():
        check_labels(split, len(images), labels, len(classes))

    def blocks() -> Iterator[Block]:
        for split, (images, _) in splits.items():
            for start in range(0, len(images), BLOCK):
                part = images[start : start + BLOCK]
                yield Block(split, np.arange(start, start + len(part)), part)

    channels, height, width = shapes.pop()
    labels = {split: labels.astype(np.int64) for split, (_, labels) in splits.items()}
    return Decoded(classes, labels, (channels, height, width), blocks)


def check_labels(location: str, images: int, labels: np.ndarray, classes: int) -> None:
    """Check that images and labels belong together.

    Raises:
        ValueError: they differ in number, there are none, or a label is out of range; `location` is named.
    """
    if images != len(labels):
        raise ValueError(f"{location}: contains {images} images, but {len(labels)} labels; get an intact file")
    if not images:
        raise ValueError(f"{location}: contains no images; get an intact file")
    if not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"{location}: contains labels from {labels.min()} to {labels.max()}, but there are {classes} classes; "
            "get an intact file"
        )


def conversion_notes(conversions: Mapping[str, int]) -> list[str]:
    """Describe how many images lost information on the way to 8-bit RGB."""
    return [f"{count} image{'s' if count > 1 else ''} {kind}" for kind, count in conversions.items()]
