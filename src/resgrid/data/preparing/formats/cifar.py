"""CIFAR-10 and CIFAR-100: pickles in an archive (https://www.cs.toronto.edu/~kriz/cifar.html, "Dataset layout")."""

from __future__ import annotations

import pickle
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from resgrid.data.fetching.archives import read_members
from resgrid.data.preparing.decoded import Decoded, check_labels, in_memory
from resgrid.datasets import Dataset


class CifarLayout(NamedTuple):
    """Names in an archive, and keys in its pickles."""

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    labels_key: bytes
    names_key: bytes


CIFAR10 = CifarLayout(
    folder="cifar-10-batches-py",
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test=("test_batch",),
    meta="batches.meta",
    labels_key=b"labels",
    names_key=b"label_names",
)
CIFAR100 = CifarLayout(
    folder="cifar-100-python",
    train=("train",),
    test=("test",),
    meta="meta",
    labels_key=b"fine_labels",
    names_key=b"fine_label_names",
)


def read_cifar(raw: Path, dataset: Dataset, layout: CifarLayout) -> Decoded:
    """Read the color images of a published archive.

    Raises:
        ValueError: the archive is damaged, or a pickle contains something else than images and labels.
    """
    path = raw / dataset.files[0].name
    wanted = {f"{layout.folder}/{name}" for name in (*layout.train, *layout.test, layout.meta)}
    # The checksum is verified (`decode`), and still only arrays are built from these pickles.
    content = {name: load_pickle(f"{path}: {name}", data) for name, data in read_members(path, wanted.__contains__)}
    if missing := sorted(wanted - content.keys()):
        raise ValueError(f"{path}: lacks {', '.join(missing)}; get an intact archive")
    names = content[f"{layout.folder}/{layout.meta}"].get(layout.names_key)
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise ValueError(f"{path}: {layout.meta} contains no list {layout.names_key.decode()}; get an intact archive")
    classes = [name.decode() for name in names]

    def split(batches: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        parts = [
            _read_batch(f"{path}: {name}", content.pop(f"{layout.folder}/{name}"), layout, len(classes))
            for name in batches
        ]
        return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])

    return in_memory(classes, {"train": split(layout.train), "test": split(layout.test)})


def _read_batch(
    location: str, batch: dict[bytes, Any], layout: CifarLayout, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    data, labels = batch.get(b"data"), batch.get(layout.labels_key)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3 * 32 * 32,):
        raise ValueError(f"{location}: contains no uint8 array 'data' of 3072 values per image; get an intact archive")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise ValueError(
            f"{location}: contains no list {layout.labels_key.decode()!r} of whole numbers; get an intact archive"
        )
    # Each batch by itself: one label too few here and one too many there would shift all labels in between.
    check_labels(location, len(data), np.array(labels, dtype=object), classes)
    return data.reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64)


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that builds numpy arrays of numbers, and nothing else that is looked up by name."""

    _allowed = {  # noqa: RUF012 (constant)
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return self._allowed[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}") from None


def load_pickle(location: str, content: bytes) -> dict[bytes, Any]:
    """Read a Python 2 pickle of a dictionary that contains numbers, strings, lists and numpy arrays.

    Raises:
        ValueError: the pickle is damaged or needs anything else; `location` is named.
    """
    try:
        loaded = _ArrayUnpickler(BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(
            f"{location}: is damaged or contains more than arrays ({error}); get an intact archive"
        ) from error
    if not isinstance(loaded, dict):
        raise ValueError(f"{location}: contains {type(loaded).__name__}, not a dictionary; get an intact archive")
    return loaded
