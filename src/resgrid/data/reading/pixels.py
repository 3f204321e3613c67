"""From image files to pixels: decoding to RGB, scaling and cropping, with Pillow and numpy only, for the workers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from resgrid.config.augment import CropConfig

_PIXEL_LIMIT = 1 << 26
_ASPECT_LIMIT = 100  # scaling the shorter side of a longer image would take gigabytes
_FORMATS = ("JPEG", "PNG", "BMP", "PPM")
_EIGHT_BIT_MODES = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
_SIXTEEN_BIT_MODES = {"I;16", "I;16B", "I;16L", "I;16N", "I"}  # gray; `I` holds the 16 bits of a PGM
REDUCED = "reduced from 16 to 8 bits"
FLATTENED = "with transparency, drawn on white"

# Uniform numbers for one random crop: tries × (area, aspect, top, left). torchvision makes at most ten tries.
_TRIES = 10
CROP_DRAWS = 4 * _TRIES


def read_rgb(content: bytes) -> Image.Image:
    """Read an image file as 8-bit RGB; see `read_image`."""
    return read_image(content)[0]


def read_image(content: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    """Read an image file as 8-bit RGB.

    Gray, palette and CMYK are converted, 16 bits are reduced to 8, and transparency is drawn on white. EXIF orientation
    is ignored, as is usual in the training of ImageNet networks.

    Returns:
        The image, and which of `REDUCED` and `FLATTENED` apply to it.

    Raises:
        ValueError: the file is truncated, damaged, too large, too narrow, or not an image of a known format.
    """
    try:
        with Image.open(BytesIO(content), formats=_FORMATS) as opened:
            image: Image.Image = opened
            shorter, longer = sorted(image.size)
            if image.width * image.height > _PIXEL_LIMIT:
                raise ValueError(f"{image.width}×{image.height} pixels are more than {_PIXEL_LIMIT}")
            if longer > _ASPECT_LIMIT * shorter:
                raise ValueError(f"{image.width}×{image.height} pixels: a side is over {_ASPECT_LIMIT} times the other")
            if image.mode not in _EIGHT_BIT_MODES | _SIXTEEN_BIT_MODES:
                raise ValueError(f"mode {image.mode}, but only 8 and 16 bits per channel are read")
            conversions = (REDUCED,) if _has_sixteen_bits(opened, content) else ()
            if conversions and image.mode == "RGB" and "transparency" in image.info:
                raise ValueError("16-bit colors of which one is transparent, which Pillow doesn't read")
            if image.mode in _SIXTEEN_BIT_MODES:
                image = _eight_bit_gray(image)
            if not image.has_transparency_data:
                return image.convert("RGB"), conversions
            layered = image.convert("RGBA")
            if layered.getchannel("A").getextrema()[0] == 255:
                return layered.convert("RGB"), conversions
            white = Image.new("RGBA", layered.size, "white")
            return Image.alpha_composite(white, layered).convert("RGB"), (*conversions, FLATTENED)
    except UnidentifiedImageError as error:  # its message contains a memory address
        raise ValueError(f"no image of the kinds {', '.join(_FORMATS)}") from error
    except Exception as error:  # a damaged image can raise anything
        raise ValueError(str(error)) from error


def _has_sixteen_bits(image: ImageFile, content: bytes) -> bool:
    """Return whether a file has 16 bits per channel, which Pillow reduces to 8 without a warning if it has colors."""
    if image.mode in _SIXTEEN_BIT_MODES:
        return True
    if image.format == "PNG":
        return content[24] == 16  # bit depth, in the header chunk
    # For a PPM, Pillow passes the largest value of a channel to its decoder.
    return image.format == "PPM" and any(argument > 255 for tile in image.tile for argument in _numbers(tile.args))


def _eight_bit_gray(image: Image.Image) -> Image.Image:
    """Take the upper byte of 16-bit gray, as Pillow does of 16-bit colors; a transparent shade stays transparent."""
    values = np.asarray(image)
    gray = Image.fromarray((values >> 8).astype(np.uint8))
    if "transparency" not in image.info:
        return gray
    alpha = np.where(values == image.info["transparency"], 0, 255).astype(np.uint8)
    return Image.merge("LA", (gray, Image.fromarray(alpha)))


def _numbers(arguments: tuple[Any, ...] | str | None) -> list[int]:
    return [argument for argument in arguments if isinstance(argument, int)] if isinstance(arguments, tuple) else []


def scaled_size(width: int, height: int, shorter_side: int) -> tuple[int, int]:
    """Return width and height after scaling the shorter side to `shorter_side`.

    The longer side is rounded down, as by torchvision's `Resize`.
    """
    shorter, longer = sorted((width, height))
    other = int(shorter_side * longer / shorter)
    return (shorter_side, other) if width <= height else (other, shorter_side)


def scaled(image: Image.Image, shorter_side: int) -> Image.Image:
    """Scale the whole image to a shorter side (bilinear, antialiased), to the pixels of torchvision's `Resize`."""
    return image.resize(scaled_size(*image.size, shorter_side), Image.Resampling.BILINEAR)


def center_crop(image: Image.Image, size: int) -> Image.Image:
    """Return the central square, at the position of torchvision's `CenterCrop`."""
    left, top = (round((side - size) / 2) for side in image.size)
    return image.crop((left, top, left + size, top + size))


def five_crops(image: Image.Image, shorter_side: int, size: int) -> list[np.ndarray]:
    """Return four corners and the center, uint8 (size, size, 3) each, of the central square of `shorter_side` pixels.

    With their mirror images these are AlexNet's ten crops (Krizhevsky et al. 2012, section 4.1), which are the corners
    of the square and not of the rectangle.
    """
    square = center_crop(scaled(image, shorter_side), shorter_side)
    far = shorter_side - size
    corners = [(0, 0), (far, 0), (0, far), (far, far)]
    crops = [square.crop((left, top, left + size, top + size)) for left, top in corners]
    return [np.asarray(crop) for crop in (*crops, center_crop(square, size))]


def random_crop(image: Image.Image, crop: CropConfig, size: int, draws: Sequence[float]) -> np.ndarray:
    """Return a random crop, uint8 (size, size, 3), chosen by `CROP_DRAWS` uniform numbers in [0, 1).

    With `crop.shorter_side`, the crop is a random window of the image scaled to a random shorter side (paper, section
    3.4); only the window is computed. With `crop.area`, it is torchvision's `RandomResizedCrop`.
    """
    if crop.shorter_side is not None:
        window = random_scale_window(*image.size, crop.shorter_side, size, draws)
        return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=window))
    assert crop.area is not None
    part = image.crop(random_area_box(*image.size, crop.area, crop.aspect, draws))
    return np.asarray(part.resize((size, size), Image.Resampling.BILINEAR))


def random_scale_window(
    width: int, height: int, shorter_side: Sequence[int], size: int, draws: Sequence[float]
) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a window, in pixels of the unscaled image.

    After the image's shorter side is scaled to a random length within the bounds of `shorter_side` (inclusive), the
    window has `size` pixels in each direction.
    """
    lowest, highest = shorter_side
    scaled_width, scaled_height = scaled_size(width, height, lowest + _below(draws[0], highest - lowest + 1))
    top, left = _below(draws[1], scaled_height - size + 1), _below(draws[2], scaled_width - size + 1)
    x, y = width / scaled_width, height / scaled_height
    # Rounding can move a box beyond the image, which Pillow refuses.
    return left * x, top * y, min((left + size) * x, width), min((top + size) * y, height)


def random_area_box(
    width: int, height: int, area: Sequence[float], aspect: Sequence[float], draws: Sequence[float]
) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a box with a random share of the image's area and a random aspect ratio.

    The aspect ratio is width over height, uniform in its logarithm, as in torchvision's
    `RandomResizedCrop.get_params`.
    """
    shapes = [math.log(bound) for bound in aspect]
    for of_area, of_aspect, of_top, of_left in (draws[start : start + 4] for start in range(0, CROP_DRAWS, 4)):
        target, ratio = width * height * _between(area, of_area), math.exp(_between(shapes, of_aspect))
        w, h = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = _below(of_top, height - h + 1), _below(of_left, width - w + 1)
            return left, top, left + w, top + h
    # As in torchvision: the largest central box with an allowed aspect ratio.
    narrowest, widest = aspect
    w, h = min(width, round(height * widest)), min(height, round(width / narrowest))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def _below(draw: float, count: int) -> int:
    """Map [0, 1) to a whole number from 0 to count - 1."""
    return int(draw * count)


def _between(bounds: Sequence[float], draw: float) -> float:
    return bounds[0] + draw * (bounds[1] - bounds[0])
