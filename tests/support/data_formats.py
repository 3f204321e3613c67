"""Small data sets in the exact published formats, for the tests of the data layer."""

from __future__ import annotations

import gzip
import hashlib
import struct
import tarfile
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from resgrid.config.data import DataConfig
from resgrid.data.preparing.decoded import Decoded
from resgrid.datasets import DATASETS


@dataclass(frozen=True, eq=False)
class Sample:
    """A small data set as it is published.

    Attributes:
        files: as on the server, by name.
        sha256: for `DataConfig.sha256`, of what lands in `data/raw`.
        images: uint8 (N, C, H, W) of `train` and `test`, in the published order.
        labels: int64 (N,) likewise.
    """

    name: str
    files: dict[str, bytes]
    sha256: dict[str, str]
    images: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]

    def config(self, source: object = None) -> DataConfig:
        return DataConfig(name=self.name, source=None if source is None else str(source), sha256=self.sha256)


def put(folder: Path, files: dict[str, bytes]) -> Path:
    """Write files into a folder, by their names there."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their names there; empty if there is no such folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def encoded(image: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """A uint8 image, (H, W, 3) or gray (H, W), as a file."""
    content = BytesIO()
    Image.fromarray(image).save(content, kind, **options)
    return content.getvalue()


def tar(files: dict[str, bytes], mode: Literal["w:gz", "w"] = "w:gz") -> bytes:
    content = BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, BytesIO(data))
    return content.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">I{array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def python2_pickle(value: object) -> bytes:
    """What Python 2 and numpy 1 wrote for the published CIFAR files: protocol 2, strings of bytes, old module names."""
    return b"\x80\x02" + _opcodes(value) + b"."


def published_images(decoded: Decoded) -> dict[str, np.ndarray]:
    """All images by published split; each must come once."""
    arrays = {split: np.zeros((len(labels), *decoded.shape), np.uint8) for split, labels in decoded.labels.items()}
    seen = {split: np.zeros(len(labels), int) for split, labels in decoded.labels.items()}
    for block in decoded.blocks():
        arrays[block.split][block.rows] = block.images
        seen[block.split][block.rows] += 1
    assert all((count == 1).all() for count in seen.values())
    return arrays


def _opcodes(value: object) -> bytes:
    if isinstance(value, dict):
        return b"}(" + b"".join(_opcodes(key) + _opcodes(item) for key, item in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_opcodes, value)) + b"e"
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    if isinstance(value, bytes):
        return (
            b"U" + struct.pack("<B", len(value)) if len(value) < 256 else b"T" + struct.pack("<i", len(value))
        ) + value
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
        dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        shape = b"(" + b"".join(map(_opcodes, value.shape)) + b"t"
        return empty + b"(K\x01" + shape + dtype + b"\x89" + _opcodes(value.tobytes()) + b"tb"
    raise TypeError(f"no opcodes for {type(value).__name__}")


def _random_split(channels: int, size: int, count: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, channels, size, size), dtype=np.uint8)
    return images, rng.permutation(np.arange(count) % classes)


def mnist_sample(dataset: str = "mnist") -> Sample:
    """60 training and 20 test images of a data set in MNIST's format."""
    train, test = _random_split(1, 28, 60, 10, seed=0), _random_split(1, 28, 20, 10, seed=1)
    unpacked = {
        "train-images-idx3-ubyte": idx(train[0][:, 0]),
        "train-labels-idx1-ubyte": idx(train[1]),
        "t10k-images-idx3-ubyte": idx(test[0][:, 0]),
        "t10k-labels-idx1-ubyte": idx(test[1]),
    }
    return Sample(
        dataset,
        files={f"{name}.gz": gzip.compress(content) for name, content in unpacked.items()},
        sha256={name: sha256(content) for name, content in unpacked.items()},
        images={"train": train[0], "test": test[0]},
        labels={"train": train[1], "test": test[1]},
    )


def _cifar_sample(
    name: str,
    archive: str,
    files: dict[str, object],
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
) -> Sample:
    content = tar({path: python2_pickle(value) for path, value in files.items()})
    return Sample(
        name,
        files={archive: content},
        sha256={archive: sha256(content)},
        images={"train": train[0], "test": test[0]},
        labels={"train": train[1], "test": test[1]},
    )


def cifar10_sample() -> Sample:
    """Five training batches and a test batch of 10 images each, in CIFAR-10's format."""
    train, test = _random_split(3, 32, 50, 10, seed=0), _random_split(3, 32, 10, 10, seed=1)

    def batch(title: bytes, images: np.ndarray, labels: np.ndarray) -> dict[bytes, object]:
        return {
            b"batch_label": title,
            b"labels": labels.tolist(),
            b"data": images.reshape(len(images), -1),
            b"filenames": [b"x.png"] * len(images),
        }

    names = b"airplane automobile bird cat deer dog frog horse ship truck".split()
    files: dict[str, object] = {
        "cifar-10-batches-py/batches.meta": {b"num_cases_per_batch": 10, b"label_names": names, b"num_vis": 3072},
        "cifar-10-batches-py/test_batch": batch(b"testing batch 1 of 1", *test),
    }
    for number in range(5, 0, -1):  # the published archive isn't in the order of the numbers either
        rows = slice(10 * (number - 1), 10 * number)
        title = f"training batch {number} of 5".encode()
        files[f"cifar-10-batches-py/data_batch_{number}"] = batch(title, train[0][rows], train[1][rows])
    return _cifar_sample("cifar10", "cifar-10-python.tar.gz", files, train, test)


def cifar100_sample() -> Sample:
    """400 training and 100 test images in CIFAR-100's format."""
    train, test = _random_split(3, 32, 400, 100, seed=0), _random_split(3, 32, 100, 100, seed=1)

    def split(images: np.ndarray, labels: np.ndarray) -> dict[bytes, object]:
        return {
            b"filenames": [b"x.png"] * len(images),
            b"batch_label": b"training batch 1 of 1",
            b"fine_labels": labels.tolist(),
            b"coarse_labels": (labels % 20).tolist(),
            b"data": images.reshape(len(images), -1),
        }

    files: dict[str, object] = {
        "cifar-100-python/meta": {
            b"fine_label_names": [f"fine{index:02}".encode() for index in range(100)],
            b"coarse_label_names": [f"coarse{index:02}".encode() for index in range(20)],
        },
        "cifar-100-python/test": split(*test),
        "cifar-100-python/train": split(*train),
    }
    return _cifar_sample("cifar100", "cifar-100-python.tar.gz", files, train, test)


# Of each data set in MNIST's format, and of each other published format.
SAMPLES = (
    *(mnist_sample(name) for name, dataset in DATASETS.items() if dataset.format == "idx"),
    cifar10_sample(),
    cifar100_sample(),
)


def image_files(kind: str = "PNG") -> dict[str, bytes]:
    """An image folder by name: two classes, 6 training and 2 test images each, 8×8 in color."""
    rng = np.random.default_rng(0)
    return {
        f"{split}/{name}/{index}.{kind.lower()}": encoded(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), kind)
        for split, count in (("train", 6), ("test", 2))
        for name in ("cat", "dog")
        for index in range(count)
    }
