"""Read access to the prepared data: arrays, or image files whose checksum is compared at each read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np

from resgrid.artifacts.data_card import SPLITS, DatasetCard, PreparedPaths
from resgrid.artifacts.files import sha256_of_file


@dataclass(frozen=True, eq=False)
class Split:
    """One split of the data as arrays.

    Attributes:
        images: uint8 (N, C, H, W), read-only and memory-mapped, so that processes share one copy.
        labels: int64 (N,).
    """

    images: np.ndarray
    labels: np.ndarray


def open_split(paths: PreparedPaths, split: str) -> Split:
    """Open `train`, `val` or `test`.

    Raises:
        ValueError: there is no such split, or its files are missing, damaged or inconsistent.
    """
    _refuse_unknown(split)
    images = _read(paths.images(split), np.uint8, dimensions=4, memory_mapped=True)
    labels = _read(paths.labels(split), np.int64, dimensions=1)
    if len(images) != len(labels):
        raise ValueError(
            f"{paths.images(split)}: {len(images)} images, but {len(labels)} labels in {paths.labels(split)}; "
            "run `dvc repro preprocess`"
        )
    return Split(images, labels)


def check_recorded(paths: PreparedPaths, card: DatasetCard, part: str) -> None:
    """Compare files with their checksums in the card: DVC trusts the read-only objects of its cache without a look.

    Args:
        part: a file under `paths.root`, or a folder with `/` at its end.

    Raises:
        ValueError: a file differs, so it is damaged; the message names it.
    """
    for name, sha256 in card.sha256.items():
        if name.startswith(part) and (paths.root / name).is_file() and sha256_of_file(paths.root / name) != sha256:
            raise ValueError(
                f"{paths.root / name}: damaged, since its SHA-256 is not the one in {paths.card}; delete it, and run "
                "`make sweep`, which names a damaged object of DVC's cache"
            )


class ImageFiles:
    """One split of the data as image files. Only its paths are sent to other processes.

    Args:
        paths: paths of the prepared data.
        split: `train`, `val` or `test`.
        folder: folder with the image files of all splits.

    Attributes:
        labels: int64 (N,).

    Raises:
        ValueError: there is no such split, or its files are missing, damaged or inconsistent.
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
                f"{paths.image_files(split).parent}: {len(self._names)} paths, {len(self._hashes)} checksums and "
                f"{len(self.labels)} labels, but the numbers must be equal; run `dvc repro preprocess`"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __reduce__(self) -> tuple[Callable[..., ImageFiles], tuple[PreparedPaths, str, Path]]:
        return ImageFiles, self._origin

    def name(self, index: int) -> str:
        """Return `<split>/<class>/<file>` of an image."""
        return self._names[index].decode()

    def read(self, index: int) -> bytes:
        """Read an image's file.

        Raises:
            ValueError: the file can't be read, or has changed since it was indexed.
        """
        return read_checked(self._folder, self.name(index), self._hashes[index].tobytes())


def read_checked(folder: Path, name: str, sha256: bytes) -> bytes:
    """Read a file and compare its checksum.

    Raises:
        ValueError: the file can't be read, or has another checksum; the message names the file.
    """
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise ValueError(
            f"{folder / name}: can't be read ({error.strerror}), but is in the index of images; restore the file"
        ) from error
    if hashlib.sha256(content).digest() != sha256:
        raise ValueError(
            f"{folder / name}: the content has changed since the images were indexed; restore the file, or index the "
            "new one with `dvc repro --force --single-item download` and then run `dvc repro`"
        )
    return content


def read_mean_image(paths: PreparedPaths) -> np.ndarray:
    """Read the mean training image, float32 (C, H, W), of pixels scaled to [0, 1].

    Raises:
        ValueError: the file is missing or damaged.
    """
    return _read(paths.mean_image, np.float32, dimensions=3)


def as_npy(array: np.ndarray) -> bytes:
    """Return the content of a `.npy` file with an array."""
    content = BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()


def _refuse_unknown(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"split: {split!r}: unknown; use {', '.join(SPLITS)}")


def _read(path: Path, dtype: type[np.generic], dimensions: int, memory_mapped: bool = False) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, mmap_mode="r" if memory_mapped else None, allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"{path}: missing; run `dvc repro preprocess`") from None
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: damaged array ({error}); run `dvc repro preprocess`") from error
    if not np.issubdtype(array.dtype, dtype) or array.ndim != dimensions:
        raise ValueError(
            f"{path}: {array.dtype} in {array.ndim} dimensions, not {dtype.__name__} in {dimensions}; "
            "run `dvc repro preprocess`"
        )
    return array
