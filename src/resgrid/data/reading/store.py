"""Read access to the prepared data for training and evaluation: arrays, or image files checked at each read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from resgrid.artifacts.data_card import SPLITS, PreparedPaths


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
    _refuse_unknown(split)
    images = _read(paths.images(split), np.uint8, dimensions=4, memory_mapped=True)
    labels = _read(paths.labels(split), np.int64, dimensions=1)
    if len(images) != len(labels):
        raise ValueError(
            f"{paths.images(split)} holds {len(images)} images, but {paths.labels(split)} {len(labels)} labels; "
            "run `dvc repro preprocess`"
        )
    return Split(images, labels)


class ImageFiles:
    """One split whose images stay in their files. It is sent to other processes as its place, not with its content.

    Args:
        paths: of the prepared data.
        split: `train`, `val` or `test`.
        folder: that holds the image files of all splits.

    Attributes:
        labels: int64 (N,).

    Raises:
        ValueError: no such split; or its files are missing, damaged or don't belong together.
    """

    def __init__(self, paths: PreparedPaths, split: str, folder: Path) -> None:
        _refuse_unknown(split)
        self._origin = (paths, split, folder)
        self._folder = folder
        self._names = _read(paths.image_files(split), np.bytes_, dimensions=1, memory_mapped=True)
        self._hashes = _read(paths.image_hashes(split), np.uint8, dimensions=2, memory_mapped=True)
        self.labels = _read(paths.labels(split), np.int64, dimensions=1)
        if not len(self._names) == len(self._hashes) == len(self.labels):
            raise ValueError(
                f"{paths.image_files(split).parent} holds {len(self._names)} paths, {len(self._hashes)} checksums and "
                f"{len(self.labels)} labels; run `dvc repro preprocess`"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __reduce__(self) -> tuple[Callable[..., ImageFiles], tuple[PreparedPaths, str, Path]]:
        return ImageFiles, self._origin

    def name(self, index: int) -> str:
        """`<split>/<class>/<file>` of an image."""
        return self._names[index].decode()

    def read(self, index: int) -> bytes:
        """The content of an image's file.

        Raises:
            ValueError: the file is not the one that was indexed, or can't be read.
        """
        return read_checked(self._folder, self.name(index), self._hashes[index].tobytes())


def read_checked(folder: Path, name: str, sha256: bytes) -> bytes:
    """The content of a file, which must have a checksum.

    Raises:
        ValueError: it has another one, or can't be read; the message names the file.
    """
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise ValueError(
            f"{folder / name} can't be read ({error.strerror}); it stood in the index of images"
        ) from error
    if hashlib.sha256(content).digest() != sha256:
        raise ValueError(
            f"{folder / name} is not the file that was indexed: its content has changed. Put the old one back, or, to "
            "go on with the new one, run `dvc repro --force --single-item download` and then `dvc repro`"
        )
    return content


def read_mean_image(paths: PreparedPaths) -> np.ndarray:
    """The mean training image, float32 (C, H, W), on pixels scaled to [0, 1].

    Raises:
        ValueError: the file is missing or damaged.
    """
    return _read(paths.mean_image, np.float32, dimensions=3)


def as_npy(array: np.ndarray) -> bytes:
    """The content of a `.npy` file."""
    content = BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()


def _refuse_unknown(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"{split!r} is no split; allowed are {', '.join(SPLITS)}")


def _read(path: Path, dtype: type[np.generic], dimensions: int, memory_mapped: bool = False) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, mmap_mode="r" if memory_mapped else None, allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; run `dvc repro preprocess`") from None
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no whole array ({error}); run `dvc repro preprocess`") from error
    if not np.issubdtype(array.dtype, dtype) or array.ndim != dimensions:
        raise ValueError(
            f"{path} holds {array.dtype} in {array.ndim} dimensions, not {dtype.__name__} in {dimensions}; "
            "run `dvc repro preprocess`"
        )
    return array
