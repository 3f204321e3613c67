"""Decoding, scaling and crops: against torchvision, and against numbers computed by hand."""

from __future__ import annotations

import random
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, RandomResizedCrop, Resize

from resgrid.config.augment import CropConfig
from resgrid.data.reading.pixels import (
    CROP_DRAWS,
    center_crop,
    five_crops,
    random_area_box,
    random_crop,
    random_scale_window,
    read_rgb,
    scaled,
    scaled_size,
)
from support.image_folder import SIZES, jpeg, picture


def draws(*first: float) -> list[float]:
    return [*first, *[0.0] * (CROP_DRAWS - len(first))]


def numbered(width: int, height: int) -> Image.Image:
    """A picture whose red is the column and whose green is the row."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(width), np.arange(height)[:, np.newaxis]
    return Image.fromarray(pixels)


def corner(crop: np.ndarray) -> tuple[int, int]:
    """Column and row of a numbered picture's crop."""
    return int(crop[0, 0, 0]), int(crop[0, 0, 1])


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "1"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = picture(30, 20, seed=1).convert(mode)
    kind = "JPEG" if mode in ("L", "CMYK") else "PNG"
    content = jpeg(image, quality=95) if kind == "JPEG" else _png(image)
    decoded = read_rgb(content)
    assert (decoded.mode, decoded.size) == ("RGB", (30, 20))
    expected = np.asarray(image.convert("RGB"), dtype=float)
    assert np.abs(np.asarray(decoded, dtype=float) - expected).mean() < 4


def _png(image: Image.Image) -> bytes:
    content = BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def test_a_file_that_is_cut_off_is_refused() -> None:
    with pytest.raises(ValueError, match="truncated"):
        read_rgb(jpeg(picture(64, 64, seed=1))[:-200])
    with pytest.raises(ValueError, match="no image of the kinds JPEG, PNG, BMP, PPM"):
        read_rgb(b"no image at all")


@pytest.mark.parametrize("size", [*SIZES, (333, 500), (500, 375)])
def test_scaling_and_the_central_crop_are_torchvisions(size: tuple[int, int]) -> None:
    image = picture(*size, seed=2)
    ours, theirs = scaled(image, 43), Resize(43, InterpolationMode.BILINEAR)(image)
    assert ours.size == scaled_size(*size, 43) == theirs.size
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    np.testing.assert_array_equal(np.asarray(center_crop(ours, 32)), np.asarray(CenterCrop(32)(theirs)))


def test_five_crops_are_corners_and_center_of_the_central_square() -> None:
    crops = five_crops(numbered(20, 12), shorter_side=12, size=8)  # the square begins at column 4
    assert [corner(crop) for crop in crops] == [(4, 0), (8, 0), (4, 4), (8, 4), (6, 2)]
    assert {crop.shape for crop in crops} == {(8, 8, 3)}
    tall = five_crops(numbered(12, 20), shorter_side=12, size=8)
    assert [corner(crop) for crop in tall] == [(0, 4), (4, 4), (0, 8), (4, 8), (2, 6)]


def test_a_window_at_a_random_scale_by_hand() -> None:
    # Shorter side 20 + ⌊0.5·21⌋ = 30 of an image of 100×50: 60×30; row ⌊0.25·21⌋ = 5 and column ⌊0.9·51⌋ = 45 of it.
    window = random_scale_window(100, 50, [20, 40], 10, draws(0.5, 0.25, 0.9))
    assert window == pytest.approx((75.0, 25 / 3, 275 / 3, 25.0))
    last = 1 - 2**-53
    assert random_scale_window(100, 50, [20, 40], 10, draws(last, last, last)) == pytest.approx((87.5, 37.5, 100, 50))


def test_a_window_has_the_pixels_of_the_whole_scaled_image() -> None:
    image = picture(90, 60, seed=3)
    crop = random_crop(image, CropConfig(shorter_side=[40, 40]), 24, draws(0.0, 0.5, 0.3))
    whole = np.asarray(scaled(image, 40))[8:32, 11:35]
    assert np.abs(crop.astype(int) - whole).max() <= 1  # Pillow keeps a box in single precision


def test_a_random_area_by_hand() -> None:
    # A quarter of 40×20 as a square: 14 pixels (√200); row ⌊0.5·7⌋ = 3, column ⌊0.5·27⌋ = 13.
    assert random_area_box(40, 20, [0.25, 0.25], [1.0, 1.0], draws(0.0, 0.0, 0.5, 0.5)) == (13, 3, 27, 17)
    # Half the area and twice as wide as high: 28×14.
    assert random_area_box(40, 20, [0.5, 0.5], [2.0, 2.0], draws(0.0, 0.0, 0.0, 0.99)) == (12, 0, 40, 14)
    # The first try is too wide (8 = √(64·1)), the second fits.
    box = random_area_box(20, 4, [0.1, 0.8], [1.0, 1.0], draws(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5))
    assert box == (9, 1, 12, 4)


@pytest.mark.parametrize(("width", "height"), [(100, 10), (10, 100), (30, 30)])
def test_where_no_area_fits_the_center_is_taken_as_in_torchvision(width: int, height: int) -> None:
    area, aspect = [1.0, 1.0], [1.0, 1.0] if width != height else [1.2, 1.3]
    left, top, right, bottom = random_area_box(width, height, area, aspect, draws())
    theirs = RandomResizedCrop.get_params(Image.new("RGB", (width, height)), area, aspect)  # pyright: ignore[reportArgumentType]
    assert (top, left, bottom - top, right - left) == theirs


def test_an_areas_crop_takes_nothing_from_outside() -> None:
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[3:17, 13:27] = 200
    crop = random_crop(
        Image.fromarray(pixels), CropConfig(area=[0.25, 0.25], aspect=[1.0, 1.0]), 7, draws(0, 0, 0.5, 0.5)
    )
    np.testing.assert_array_equal(crop, np.full((7, 7, 3), 200))


def test_random_crops_stay_inside_whatever_is_drawn() -> None:
    generator = random.Random(0)
    for crop in (CropConfig(shorter_side=[24, 37]), CropConfig(area=[0.08, 1.0])):
        for size in SIZES:
            numbers = [generator.choice([0.0, generator.random(), 1 - 2**-53]) for _ in range(CROP_DRAWS)]
            assert random_crop(picture(*size, seed=0), crop, 24, numbers).shape == (24, 24, 3)
