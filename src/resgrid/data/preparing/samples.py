"""The sheet of sample images that `preprocess` draws."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from resgrid.data.reading.store import Split

SAMPLE_CLASSES = 20
SAMPLES_PER_CLASS = 10
_SHEET_PIXELS = 64  # the side to which images are enlarged (by whole numbers) or shrunk
_SHEET_GAP = 4
_SHEET_FONT = 15


def draw_samples(split: Split, classes: list[str]) -> Image.Image:
    """The first images of each class in a row beside the class's name; of many classes only the first ones."""
    shown = classes[:SAMPLE_CLASSES]
    font = ImageFont.load_default(_SHEET_FONT)
    tiles = [
        [_tile(image) for image in split.images[np.flatnonzero(split.labels == label)[:SAMPLES_PER_CLASS]]]
        for label in range(len(shown))
    ]
    width, height = tiles[0][0].size
    text_width = max(round(font.getlength(name)) for name in shown) + 3 * _SHEET_GAP
    top = height // 2
    size = (text_width + SAMPLES_PER_CLASS * (width + _SHEET_GAP), top + len(shown) * (height + _SHEET_GAP))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    title = "Training images" + (f" of {len(shown)} of {len(classes)} classes" if len(shown) < len(classes) else "")
    draw.text((_SHEET_GAP, top // 2), title, fill="dimgrey", font=font, anchor="lm")
    for row, (name, images) in enumerate(zip(shown, tiles, strict=True)):
        y = top + row * (height + _SHEET_GAP)
        draw.text((_SHEET_GAP, y + height // 2), name, fill="black", font=font, anchor="lm")
        for column, image in enumerate(images):
            sheet.paste(image, (text_width + column * (width + _SHEET_GAP), y))
    return sheet


def _tile(image: np.ndarray) -> Image.Image:
    """One image (C, H, W), enlarged without smoothing, so that its pixels show, or shrunk."""
    picture = Image.fromarray(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0).copy())
    longer = max(picture.size)
    if longer > _SHEET_PIXELS:
        picture.thumbnail((_SHEET_PIXELS, _SHEET_PIXELS))
        return picture
    factor = _SHEET_PIXELS // longer
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def as_png(image: Image.Image) -> bytes:
    """The content of a `.png` file."""
    content = BytesIO()
    image.save(content, "PNG")
    return content.getvalue()
