"""Raw files to arrays: idx, CSV, CIFAR's pickles and archives of images, none of them unpacked to disk."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from resgrid.artifacts.files import sha256_of_file
from resgrid.config.data import DataConfig
from resgrid.data.fetching.archives import members
from resgrid.data.fetching.layout import is_in_a_split, read_layout
from resgrid.data.fetching.published import PUBLISHED, RawFile, raw_files
from resgrid.data.reading.pixels import read_rgb

_BLOCK = 1024  # images
_JPEG_MAGIC = b"\xff\xd8\xff"


class Block(NamedTuple):
    """Some images of one published split.

    Attributes:
        split: `train` or `test`.
        rows: int64 (n,), their places in that split.
        images: uint8 (n, C, H, W).
    """

    split: str
    rows: np.ndarray
    images: np.ndarray


@dataclass(frozen=True, eq=False)
class Decoded:
    """A data set as it was published: everything but the pixels, and a way to read these block by block.

    Attributes:
        classes: class names; a label is an index into them.
        labels: int64 (N,) for each published split, `train` and (but for digits) `test`.
        shape: channels, height, width of every image.
        notes: what a reader must know before comparing numbers.
        blocks: reads every image once, in any order.
    """

    classes: list[str]
    labels: dict[str, np.ndarray]
    shape: tuple[int, int, int]
    notes: list[str]
    blocks: Callable[[], Iterator[Block]]


def decode(config: DataConfig, raw: Path) -> Decoded:
    """Read the raw files that `fetch` left in `raw`.

    Raises:
        ValueError: a file is missing, has another checksum, or does not hold what it should; the message names it.
    """
    files = raw_files(config)
    for file in files:
        _verify(raw / file.name, file)
    if config.name == "imagefolder":
        return _image_archive(raw / files[0].name, config.image_size)
    if config.name == "digits":
        return _digits(raw / files[0].name)
    if config.name == "cifar10":
        return _cifar(raw / files[0].name, _CIFAR10)
    if config.name == "cifar100":
        return _cifar(raw / files[0].name, _CIFAR100)
    return _idx(raw, list(PUBLISHED[config.name].classes))


def _verify(path: Path, file: RawFile) -> None:
    if not path.is_file():
        raise ValueError(f"{path} is missing; run `dvc repro download`")
    if file.sha256 is not None and (got := sha256_of_file(path)) != file.sha256:
        raise ValueError(
            f"{path} has the wrong checksum: SHA-256 {got}, expected {file.sha256}. It was changed after the download; "
            "delete it and run `dvc repro download`"
        )


def _in_memory(classes: list[str], splits: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Decoded:
    """Data that fit into memory: for each split its images, uint8 (N, C, H, W), and labels."""
    shapes = {images.shape[1:] for images, _ in splits.values()}
    if len(shapes) > 1:
        raise ValueError(f"the images of {' and '.join(splits)} differ in shape: {', '.join(map(str, sorted(shapes)))}")
    for split, (images, labels) in splits.items():
        if len(images) != len(labels):
            raise ValueError(f"{split}: {len(images)} images, but {len(labels)} labels")
        if not len(images):
            raise ValueError(f"{split}: holds no images")
        if not 0 <= labels.min() <= labels.max() < len(classes):
            raise ValueError(
                f"{split}: labels from {labels.min()} to {labels.max()}; allowed is 0 to {len(classes) - 1}"
            )

    def blocks() -> Iterator[Block]:
        for split, (images, _) in splits.items():
            for start in range(0, len(images), _BLOCK):
                part = images[start : start + _BLOCK]
                yield Block(split, np.arange(start, start + len(part)), part)

    channels, height, width = shapes.pop()
    labels = {split: labels.astype(np.int64) for split, (_, labels) in splits.items()}
    return Decoded(classes, labels, (channels, height, width), [], blocks)


def _digits(path: Path) -> Decoded:
    """scikit-learn's `digits.csv`: 64 pixel values from 0 to 16 and the digit in each line."""
    table = np.loadtxt(path, delimiter=",", dtype=np.int64, ndmin=2)
    pixels, labels = table[:, :-1], table[:, -1]
    if pixels.shape[1] != 64 or pixels.min() < 0 or pixels.max() > 16:
        raise ValueError(f"{path}: needed are 64 pixel values from 0 to 16 and a digit in each line")
    images = np.round(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return _in_memory(list(PUBLISHED["digits"].classes), {"train": (images, labels)})


def _idx(raw: Path, classes: list[str]) -> Decoded:
    """MNIST's format: big-endian sizes, then bytes (described at the end of LeCun's MNIST page)."""

    def split(prefix: str) -> tuple[np.ndarray, np.ndarray]:
        images = _read_idx(raw / f"{prefix}-images-idx3-ubyte", dimensions=3)
        return images[:, np.newaxis], _read_idx(raw / f"{prefix}-labels-idx1-ubyte", dimensions=1)

    return _in_memory(classes, {"train": split("train"), "test": split("t10k")})


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    content = path.read_bytes()
    start = 4 * (1 + dimensions)
    magic, *shape = (int.from_bytes(content[at : at + 4], "big") for at in range(0, start, 4))
    unsigned_bytes = 0x0800
    if magic != unsigned_bytes + dimensions:
        raise ValueError(f"{path}: is no idx file of {dimensions} dimensions of bytes (magic number {magic:#010x})")
    values = np.frombuffer(content[start:], np.uint8)
    if values.size != np.prod(shape):
        raise ValueError(f"{path}: truncated or damaged: {values.size} values, but shape {tuple(shape)} in the header")
    return values.reshape(shape)


class _CifarLayout(NamedTuple):
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    labels_key: bytes
    names_key: bytes


# https://www.cs.toronto.edu/~kriz/cifar.html, "Dataset layout"
_CIFAR10 = _CifarLayout(
    folder="cifar-10-batches-py",
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test=("test_batch",),
    meta="batches.meta",
    labels_key=b"labels",
    names_key=b"label_names",
)
_CIFAR100 = _CifarLayout(
    folder="cifar-100-python",
    train=("train",),
    test=("test",),
    meta="meta",
    labels_key=b"fine_labels",
    names_key=b"fine_label_names",
)


def _cifar(path: Path, layout: _CifarLayout) -> Decoded:
    wanted = {f"{layout.folder}/{name}" for name in (*layout.train, *layout.test, layout.meta)}
    # The checksum holds (`decode`), and still nothing but arrays is built from these pickles.
    batches = {name: load_pickle(f"{path}: {name}", content) for name, content in members(path, wanted.__contains__)}
    if missing := sorted(wanted - batches.keys()):
        raise ValueError(f"{path} lacks {', '.join(missing)}")

    def split(names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        parts = [_cifar_batch(f"{path}: {name}", batches.pop(f"{layout.folder}/{name}"), layout) for name in names]
        return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])

    names = batches[f"{layout.folder}/{layout.meta}"].get(layout.names_key)
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise ValueError(f"{path}: {layout.meta} holds no list {layout.names_key.decode()}")
    classes = [name.decode() for name in names]
    return _in_memory(classes, {"train": split(layout.train), "test": split(layout.test)})


def _cifar_batch(place: str, batch: dict[bytes, Any], layout: _CifarLayout) -> tuple[np.ndarray, np.ndarray]:
    data, labels = batch.get(b"data"), batch.get(layout.labels_key)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3 * 32 * 32,):
        raise ValueError(f"{place}: holds no uint8 array 'data' of 3072 values for each image")
    if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
        raise ValueError(f"{place}: holds no list {layout.labels_key.decode()!r} of whole numbers")
    return data.reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64)


class _ArrayUnpickler(pickle.Unpickler):
    """Builds numpy arrays of numbers, and nothing else that has to be looked up by name."""

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


def load_pickle(place: str, content: bytes) -> dict[bytes, Any]:
    """Read a Python 2 pickle of a dictionary that holds numbers, strings, lists and numpy arrays.

    Raises:
        ValueError: it is damaged, or needs anything else; `place` is named in the message.
    """
    try:
        loaded = _ArrayUnpickler(BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{place}: refused, since it is damaged or holds more than arrays: {error}") from error
    if not isinstance(loaded, dict):
        raise ValueError(f"{place}: holds {type(loaded).__name__}, not a dictionary")
    return loaded


def _image_archive(path: Path, size: int | None) -> Decoded:
    """Images in `train/<class>/*` and `test/<class>/*` (or else `val/<class>/*`, as in ImageNet) of an archive."""
    is_jpeg = [(name, content.startswith(_JPEG_MAGIC)) for name, content in members(path, is_in_a_split)]
    layout = read_layout(path, [name for name, _ in is_jpeg])
    notes = ["decoded from JPEG (lossy)"] if any(jpeg and name in layout.rows for name, jpeg in is_jpeg) else []
    notes += [f"resized to {size}×{size} pixels"] if size is not None else []
    notes += ["tested on val"] if layout.test_folder == "val" else []
    first, content = next(members(path, layout.rows.__contains__))
    channels, height, width = _read_image(path, first, content, size).shape

    def blocks() -> Iterator[Block]:
        waiting: dict[str, list[tuple[int, np.ndarray]]] = {split: [] for split in layout.labels}
        for name, content in members(path, layout.rows.__contains__):
            image = _read_image(path, name, content, size)
            if image.shape != (channels, height, width):
                raise ValueError(
                    f"{path}: {name} has {image.shape[2]}×{image.shape[1]} pixels, but {first} has "
                    f"{width}×{height}; give data.image_size in params.yaml to bring them to one size"
                )
            split, row = layout.rows[name]
            waiting[split].append((row, image))
            if len(waiting[split]) == _BLOCK:
                yield _block(split, waiting[split])
                waiting[split] = []
        yield from (_block(split, images) for split, images in waiting.items() if images)

    return Decoded(layout.classes, layout.labels, (channels, height, width), notes, blocks)


def _block(split: str, images: list[tuple[int, np.ndarray]]) -> Block:
    return Block(split, np.array([row for row, _ in images]), np.stack([image for _, image in images]))


def _read_image(path: Path, name: str, content: bytes, size: int | None) -> np.ndarray:
    """uint8 (3, H, W)."""
    try:
        rgb = read_rgb(content)
    except ValueError as error:
        raise ValueError(f"{path}: {name} can't be read as an image: {error}") from error
    if size is not None:
        rgb = _resized(rgb, size)
    return np.asarray(rgb).transpose(2, 0, 1)


def _resized(image: Image.Image, size: int) -> Image.Image:
    """The shorter side to `size` (bicubic, with Pillow's antialiasing), then the center."""
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    return image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + size, top + size))
