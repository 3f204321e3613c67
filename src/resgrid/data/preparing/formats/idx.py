"""MNIST's format, idx: big-endian sizes, then bytes (https://yann.lecun.org/exdb/mnist/)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from resgrid.data.preparing.decoded import Decoded, in_memory
from resgrid.datasets import Dataset

_UNSIGNED_BYTES = 0x0800  # type of the values, in the magic number's third byte; the fourth is the dimensions


def read_idx_files(raw: Path, dataset: Dataset) -> Decoded:
    """Read gray images and labels of `train-*` and `t10k-*`.

    Raises:
        ValueError: a file is not idx or is truncated, or the files don't belong together.
    """

    def split(prefix: str) -> tuple[np.ndarray, np.ndarray]:
        images = _read_idx(raw / f"{prefix}-images-idx3-ubyte", dimensions=3)
        return images[:, np.newaxis], _read_idx(raw / f"{prefix}-labels-idx1-ubyte", dimensions=1)

    return in_memory(list(dataset.classes), {"train": split("train"), "test": split("t10k")})


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    content = path.read_bytes()
    start = 4 * (1 + dimensions)
    magic, *shape = (int.from_bytes(content[at : at + 4], "big") for at in range(0, start, 4))
    if magic != _UNSIGNED_BYTES + dimensions:
        raise ValueError(
            f"{path}: has the magic number {magic:#010x}, not that of bytes in {dimensions} dimensions; "
            "get an intact file"
        )
    values = np.frombuffer(content[start:], np.uint8)
    if values.size != np.prod(shape, dtype=object):
        raise ValueError(
            f"{path}: contains {values.size} values, but its header announces {tuple(shape)}; get an intact file"
        )
    return values.reshape(shape)
