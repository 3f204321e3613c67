"""Read access to the prepared arrays for training and evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resgrid.artifacts import SPLITS, PreparedPaths


@dataclass(frozen=True, eq=False)
class Split:
    """One split of the data.

    Attributes:
        images: uint8 (N, C, H, W), read-only and memory-mapped: processes share one copy.
        labels: int64 (N,).
    """

    images: np.ndarray
    labels: np.ndarray


def open_split(paths: PreparedPaths, split: str) -> Split:
    """Open `train`, `val` or `test`.

    Raises:
        ValueError: no such split; or its files are missing, damaged or don't belong together.
    """
    if split not in SPLITS:
        raise ValueError(f"{split!r} is no split; allowed are {', '.join(SPLITS)}")
    images = _read(paths.images(split), np.uint8, dimensions=4, memory_mapped=True)
    labels = _read(paths.labels(split), np.int64, dimensions=1)
    if len(images) != len(labels):
        raise ValueError(
            f"{paths.images(split)} holds {len(images)} images, but {paths.labels(split)} {len(labels)} labels; "
            "run `dvc repro preprocess`"
        )
    return Split(images, labels)


def read_mean_image(paths: PreparedPaths) -> np.ndarray:
    """The mean training image, float32 (C, H, W), on pixels scaled to [0, 1].

    Raises:
        ValueError: the file is missing or damaged.
    """
    return _read(paths.mean_image, np.float32, dimensions=3)


def _read(path: Path, dtype: type[np.generic], dimensions: int, memory_mapped: bool = False) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, mmap_mode="r" if memory_mapped else None, allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; run `dvc repro preprocess`") from None
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no whole array ({error}); run `dvc repro preprocess`") from error
    if array.dtype != dtype or array.ndim != dimensions:
        raise ValueError(
            f"{path} holds {array.dtype} in {array.ndim} dimensions, not {np.dtype(dtype)} in {dimensions}; "
            "run `dvc repro preprocess`"
        )
    return array
