"""Synthetic prepared data in the files of the `preprocess` stage, so that the product runs unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths

NUM_CLASSES = 10
COUNTS = {"train": 5120, "val": 512}


def write_prepared(paths: PreparedPaths, shape: tuple[int, int, int]) -> DatasetCard:
    """Write random images of a shape (channels, height, width), the mean image and the card."""
    generator = np.random.default_rng(0)
    for split, count in COUNTS.items():
        paths.images(split).parent.mkdir(parents=True)
        np.save(paths.images(split), generator.integers(0, 256, (count, *shape), dtype=np.uint8))
        np.save(paths.labels(split), generator.integers(0, NUM_CLASSES, count, dtype=np.int64))
    np.save(paths.mean_image, np.full(shape, 0.5, dtype=np.float32))
    card = DatasetCard(
        name="synthetic",
        label="Synthetic",
        note="random pixels",
        shape=shape,
        classes=[str(label) for label in range(NUM_CLASSES)],
        counts=COUNTS,
        channel_mean=[0.5] * shape[0],
        channel_std=[0.29] * shape[0],
        sha256={},
    )
    card.write(paths.card)
    return card


@contextmanager
def working_folder(shape: tuple[int, int, int]) -> Iterator[DatasetCard]:
    """Change to a temporary folder with prepared data of an image shape, and delete the folder afterwards."""
    with TemporaryDirectory(prefix="resgrid-bench-") as folder, chdir(Path(folder)):
        yield write_prepared(PreparedPaths(), shape)
