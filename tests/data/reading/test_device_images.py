"""Crop, flip and normalization against hand-computed images."""

import numpy as np
import pytest
import torch

from resgrid.data.reading.batches import Batch
from resgrid.data.reading.device_images import DeviceImages

IMAGE = np.arange(1, 10, dtype=np.uint8).reshape(1, 1, 3, 3)


def images(mean: float = 0.0, std: float | None = None) -> DeviceImages:
    deviation = None if std is None else np.full((1, 1, 1), std)
    return DeviceImages(IMAGE, np.array([5]), np.full((1, 1, 1), mean), deviation)


def crop(source: DeviceImages, row: int, column: int, flip: bool) -> list[list[float]]:
    batch = Batch(torch.tensor([0]), torch.tensor([[row, column]]), torch.tensor([flip]))
    pixels, labels = source.augmented(batch)
    assert labels.tolist() == [5]
    return (pixels[0, 0] * 255).round().tolist()


def test_the_middle_crop_is_the_image() -> None:
    assert crop(images(), 0, 0, flip=False) == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_a_shifted_crop_has_zeros_outside_the_image() -> None:
    assert crop(images(), 1, -1, flip=False) == [[0, 4, 5], [0, 7, 8], [0, 0, 0]]
    assert crop(images(), -1, 2, flip=False) == [[0, 0, 0], [3, 0, 0], [6, 0, 0]]


def test_a_flip_mirrors_the_crop() -> None:
    assert crop(images(), 0, 0, flip=True) == [[3, 2, 1], [6, 5, 4], [9, 8, 7]]
    assert crop(images(), 0, 1, flip=True) == [[0, 3, 2], [0, 6, 5], [0, 9, 8]]


def test_the_mean_is_subtracted_before_the_padding() -> None:
    assert crop(images(mean=1 / 255), 1, 1, flip=False) == [[4, 5, 0], [7, 8, 0], [0, 0, 0]]


def test_the_mean_image_moves_with_the_crop() -> None:
    source = DeviceImages(IMAGE, np.array([5]), IMAGE[0] / 255, None)
    assert crop(source, 1, 0, flip=True) == [[0, 0, 0]] * 3


def test_plain_images_are_normalized_only() -> None:
    pixels, labels = images(mean=1 / 255, std=0.5).plain(torch.tensor([0, 0]))
    assert pixels.shape == (2, 1, 3, 3)
    assert labels.tolist() == [5, 5]
    assert pixels[1, 0].flatten().tolist() == pytest.approx([2 * value / 255 for value in range(9)])


def test_batches_come_in_channels_last_layout() -> None:
    source = DeviceImages(np.zeros((2, 3, 4, 4), np.uint8), np.zeros(2, np.int64), np.zeros((3, 1, 1)), None)
    pixels, _ = source.augmented(
        Batch(torch.tensor([0, 1]), torch.zeros(2, 2, dtype=torch.long), torch.zeros(2).bool())
    )
    assert pixels.is_contiguous(memory_format=torch.channels_last)
    assert source.plain(torch.tensor([0, 1]))[0].is_contiguous(memory_format=torch.channels_last)
