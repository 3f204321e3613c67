"""Prepared arrays are memory-mapped and read-only; missing and damaged files are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.files import sha256_of_files
from resgrid.data.reading.images import load_images
from resgrid.data.reading.store import open_split, read_mean_image
from support.prepared_data import make_prepared_cell

PATHS = PreparedPaths(Path("prepared"))


def write(images: np.ndarray, labels: np.ndarray) -> None:
    PATHS.images("val").parent.mkdir(parents=True)
    np.save(PATHS.images("val"), images)
    np.save(PATHS.labels("val"), labels)


IMAGES = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
LABELS = np.array([1, 0])


def test_a_split_is_memory_mapped_and_read_only() -> None:
    write(IMAGES, LABELS)
    split = open_split(PATHS, "val")
    assert isinstance(split.images, np.memmap)
    assert not split.images.flags.writeable
    np.testing.assert_array_equal(split.images, IMAGES)
    np.testing.assert_array_equal(split.labels, LABELS)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES[:1], LABELS, r"val/images.npy: 1 images, but 2 labels in prepared/val/labels.npy"),
        (IMAGES.astype(np.float32), LABELS, r"images.npy: float32 in 4 dimensions, not uint8 in 4"),
        (IMAGES[:, 0], LABELS, r"images.npy: uint8 in 3 dimensions, not uint8 in 4"),
        (IMAGES, LABELS.astype(np.int32), r"labels.npy: int32 in 1 dimensions, not int64 in 1"),
    ],
)
def test_arrays_that_do_not_fit_are_named(images: np.ndarray, labels: np.ndarray, message: str) -> None:
    write(images, labels)
    with pytest.raises(ValueError, match=message + ".*; run `dvc repro preprocess`"):
        open_split(PATHS, "val")


def test_missing_and_damaged_files_are_named() -> None:
    with pytest.raises(ValueError, match=r"prepared/train/images.npy: missing; run `dvc repro preprocess`"):
        open_split(PATHS, "train")
    with pytest.raises(ValueError, match=r"prepared/mean_image.npy: missing"):
        read_mean_image(PATHS)
    write(IMAGES, LABELS)
    whole = PATHS.images("val").read_bytes()
    for content in (whole[:-1], whole[:20], b"", b"text"):
        PATHS.images("val").write_bytes(content)
        with pytest.raises(ValueError, match=r"val/images.npy: damaged array .*; run `dvc repro preprocess`"):
            open_split(PATHS, "val")


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(ValueError, match="split: 'validation': unknown; use train, val, test"):
        open_split(PATHS, "validation")


@pytest.mark.parametrize("name", ["train/images.npy", "train/labels.npy", "mean_image.npy"])
def test_a_file_that_differs_from_the_card_is_refused(name: str) -> None:
    make_prepared_cell()
    paths = PreparedPaths()
    files = [path for path in paths.root.rglob("*.npy") if "test" not in path.parts]
    card = DatasetCard.read(paths.card).model_copy(update={"sha256": sha256_of_files(paths.root, files)})
    load_images(paths, "train", "per_pixel_mean", card)
    content = bytearray((paths.root / name).read_bytes())
    content[-1] ^= 1
    (paths.root / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"data/prepared/{name}: damaged, since its SHA-256 is not the one in data/"):
        load_images(paths, "train", "per_pixel_mean", card)
    load_images(paths, "test", "channel", card)  # which needs none of these files
