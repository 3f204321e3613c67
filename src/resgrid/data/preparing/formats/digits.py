"""scikit-learn's `digits.csv`: 64 pixel values from 0 to 16 and the digit in each line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resgrid.data.preparing.decoded import Decoded, in_memory
from resgrid.datasets import Dataset


def read_digits(raw: Path, dataset: Dataset) -> Decoded:
    """Read the images and scale their values to 0 to 255.

    Raises:
        ValueError: the file doesn't contain such lines.
    """
    path = raw / dataset.files[0].name
    table = np.loadtxt(path, delimiter=",", dtype=np.int64, ndmin=2)
    pixels, labels = table[:, :-1], table[:, -1]
    if pixels.shape[1] != 64 or pixels.min() < 0 or pixels.max() > 16:
        raise ValueError(f"{path}: has lines other than 64 pixel values from 0 to 16 and a digit; get an intact file")
    images = np.round(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return in_memory(list(dataset.classes), {"train": (images, labels)})
