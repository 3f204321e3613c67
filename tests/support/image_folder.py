"""A small folder of photograph-like image files: many sizes, gray and CMYK JPEGs, a PNG, and one that is cut off."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog", "owl")
# Smaller and larger than any crop, wide and tall.
SIZES = ((50, 38), (38, 50), (64, 64), (40, 90), (30, 28))
CUT_OFF = "train/dog/05.jpg"


def picture(width: int, height: int, seed: int, label: int = 0) -> Image.Image:
    """A smooth random picture, in which one color says the class."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 160, (5, 6, 3), dtype=np.uint8)
    coarse[..., label % 3] += 90
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    content = BytesIO()
    image.save(content, "JPEG", quality=quality)
    return content.getvalue()


def make_image_folder(folder: Path, train: int = 12, test: int = 5, cut_off: bool = False) -> Path:
    """`train/<class>/*` and `val/<class>/*`, so many of each class; always with a gray and a CMYK JPEG and a PNG."""
    seed = 0
    for split, count in (("train", train), ("val", test)):
        for label, name in enumerate(CLASSES):
            for number in range(count):
                seed += 1
                image = picture(*SIZES[seed % len(SIZES)], seed, label)
                path = folder / split / name / f"{number:02}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(jpeg(image.convert({1: "L", 2: "CMYK"}.get(number, "RGB"))))
    # As in ImageNet, where one file is a PNG under another name.
    picture(45, 45, seed + 1).save(folder / "train/cat/03.jpg", "PNG")
    if cut_off:
        whole = folder / CUT_OFF
        whole.write_bytes(whole.read_bytes()[:-200])
    return folder
