"""The sheet of sample images that `preprocess` draws."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from resgrid.artifacts.class_names import drawable_names, font_file
from resgrid.data.reading.store import Split

SAMPLE_CLASSES = 20
SAMPLES_PER_CLASS = 10
_TILE = 64  # pixels; images are enlarged by whole numbers, or shrunk
_GAP = 4
_FONT = 15
_NAME = 40  # letters of a class name


def draw_samples(split: Split, classes: list[str]) -> Image.Image:
    """Draw the first images of each class in a row, next to the class's name; of many classes only the first."""
    names = drawable_names(classes[:SAMPLE_CLASSES])
    shown = [name if len(name) <= _NAME else f"{name[: _NAME - 1]}…" for name in names]
    # Pillow's font has English letters only.
    font = ImageFont.load_default(_FONT) if "".join(names).isascii() else ImageFont.truetype(font_file(), _FONT)
    tiles = [
        [_tile(image) for image in split.images[np.flatnonzero(split.labels == label)[:SAMPLES_PER_CLASS]]]
        for label in range(len(shown))
    ]
    width, height = tiles[0][0].size
    text_width = max(round(font.getlength(name)) for name in shown) + 3 * _GAP
    top = height // 2
    size = (text_width + SAMPLES_PER_CLASS * (width + _GAP), top + len(shown) * (height + _GAP))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    title = "Training images" + (f" of {len(shown)} of {len(classes)} classes" if len(shown) < len(classes) else "")
    draw.text((_GAP, top // 2), title, fill="dimgrey", font=font, anchor="lm")
    for row, (name, images) in enumerate(zip(shown, tiles, strict=True)):
        y = top + row * (height + _GAP)
        draw.text((_GAP, y + height // 2), name, fill="black", font=font, anchor="lm")
        for column, image in enumerate(images):
            sheet.paste(image, (text_width + column * (width + _GAP), y))
    return sheet


def _tile(image: np.ndarray) -> Image.Image:
    """Enlarge an image (C, H, W) without smoothing, so that its pixels show, or shrink it."""
    picture = Image.fromarray(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0).copy())
    longer = max(picture.size)
    if longer > _TILE:
        picture.thumbnail((_TILE, _TILE))
        return picture
    factor = _TILE // longer
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def as_png(image: Image.Image) -> bytes:
    """Return the content of a `.png` file."""
    content = BytesIO()
    image.save(content, "PNG")
    return content.getvalue()
