"""Archives of images, `<split>/<class>/<image>`: decoded to arrays of one size, not unpacked to disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from resgrid.data.fetching.archives import members, read_members
from resgrid.data.fetching.layout import Layout, read_layout, refuse_files
from resgrid.data.preparing.decoded import BLOCK, Block, Decoded
from resgrid.data.reading.pixels import read_image

_JPEG_MAGIC = b"\xff\xd8\xff"


def read_image_archive(path: Path, source: str, size: int | None) -> Decoded:
    """Read the images of `train/<class>/*` and `test/<class>/*` (or else `val/<class>/*`, as in ImageNet).

    Args:
        source: where the archive comes from, for messages.
        size: height and width to which images are resized; None if all have the same size.

    Raises:
        ValueError: the archive is damaged, its names are not in the layout, or (from `blocks`) images can't be read
            or differ in size; all of these are listed.
    """
    layout = read_layout(source, (member.name for member in members(path, source)))
    shape, is_lossy = _first_look(path, layout, size)
    notes = ["decoded from JPEG (lossy)"] if is_lossy else []
    notes += [f"resized to {size}×{size} pixels"] if size is not None else []
    conversions: Counter[str] = Counter()

    def blocks() -> Iterator[Block]:
        waiting: dict[str, list[tuple[int, np.ndarray]]] = {split: [] for split in layout.labels}
        problems: dict[str, str] = {}
        conversions.clear()
        for name, content in read_members(path, layout.rows.__contains__):
            try:
                image, converted = _read(content, size)
            except ValueError as error:
                problems[name] = f"can't be read as an image: {error}"
                continue
            conversions.update(converted)
            if image.shape != shape:
                problems[name] = (
                    f"has {image.shape[2]}×{image.shape[1]} pixels, but others have {shape[2]}×{shape[1]}; "
                    "set data.image_size"
                )
            if problems:
                continue  # only to list the others
            split, row = layout.rows[name]
            waiting[split].append((row, image))
            if len(waiting[split]) == BLOCK:
                yield _block(split, waiting[split])
                waiting[split] = []
        refuse_files(source, problems)
        yield from (_block(split, images) for split, images in waiting.items() if images)

    return Decoded(layout.classes, layout.labels, shape, blocks, notes + layout.notes, conversions)


def _first_look(path: Path, layout: Layout, size: int | None) -> tuple[tuple[int, int, int], bool]:
    """Return the shape (3, H, W) of the first readable image, and whether any image is a JPEG."""
    shape: tuple[int, int, int] | None = None
    is_lossy = False
    for _, content in read_members(path, layout.rows.__contains__):
        is_lossy = is_lossy or content.startswith(_JPEG_MAGIC)
        if shape is None:
            with suppress(ValueError):
                channels, height, width = _read(content, size)[0].shape
                shape = channels, height, width
    return shape or (3, 1, 1), is_lossy


def _block(split: str, images: list[tuple[int, np.ndarray]]) -> Block:
    return Block(split, np.array([row for row, _ in images]), np.stack([image for _, image in images]))


def _read(content: bytes, size: int | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return an image, uint8 (3, H, W), and what was converted."""
    image, conversions = read_image(content)
    if size is not None:
        image = _resized(image, size)
    return np.asarray(image).transpose(2, 0, 1), conversions


def _resized(image: Image.Image, size: int) -> Image.Image:
    """Scale the shorter side to `size` (bicubic, with Pillow's antialiasing), then crop the center."""
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    return image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + size, top + size))
