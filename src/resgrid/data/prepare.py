"""From raw files to prepared arrays: the split, the statistics of the training part, a sample sheet and the card."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.progress import Progress
from sklearn.model_selection import train_test_split

from resgrid.artifacts import RAW, DatasetCard, PreparedPaths, named_failures, sha256_of_files, write_whole
from resgrid.config import DataConfig, SplitConfig
from resgrid.data.decode import Block, Decoded, decode
from resgrid.data.landing import folder_lock, whole_folder
from resgrid.data.published import NOT_PUBLISHED, PUBLISHED, label_of, raw_files
from resgrid.data.store import Split, open_split
from resgrid.terminal import console

_PREPARED = PreparedPaths()

_SHEET_CLASSES = 20
_SHEET_SAMPLES = 10
_SHEET_PIXELS = 64  # the side to which images are enlarged (by whole numbers) or shrunk
_SHEET_GAP = 4
_SHEET_FONT = 15


def prepare(data: DataConfig, split: SplitConfig, raw: Path = RAW, into: PreparedPaths = _PREPARED) -> DatasetCard:
    """Decode the raw files, split them, and write everything that `PreparedPaths` names.

    Images are uint8 (N, C, H, W) in the order of the published files (image folders: sorted by class and name);
    splits are stratified by class. The same raw files and parameters give the same bytes.

    Raises:
        ValueError: a raw file is missing or damaged, or the split asks for more images than there are.
        OSError: the folder is read-only, or the disk is full. What was there before is kept then.
    """
    decoded = decode(data, raw)
    parts = divide(decoded.labels, split)
    with folder_lock(into.root), whole_folder(into.root) as folder:
        paths = PreparedPaths(folder)
        statistics = _write_arrays(decoded, parts, paths)
        write_whole(paths.mean_image, _npy(statistics.mean_image.astype(np.float32)))
        write_whole(paths.samples, _png(draw_samples(open_split(paths, "train"), decoded.classes)))
        card = DatasetCard(
            name=data.name,
            label=label_of(data),
            note="; ".join(_notes(data, decoded)),
            shape=decoded.shape,
            classes=decoded.classes,
            counts={name: len(part.rows) for name, part in parts.items()},
            channel_mean=statistics.channel_mean,
            channel_std=statistics.channel_std,
            sha256=sha256_of_files(folder, (path for path in folder.rglob("*") if path.is_file())),
        )
        card.write(paths.card)
    sizes = ", ".join(f"{count} {name}" for name, count in card.counts.items())
    console.print(f"{into.root}: {card.label}, {sizes}", markup=False, soft_wrap=True)
    return card


@dataclass(frozen=True, eq=False)
class Part:
    """A split as resgrid uses it: `rows` (int64, growing) of the published split `source`."""

    source: str
    rows: np.ndarray


def divide(labels: dict[str, np.ndarray], split: SplitConfig) -> dict[str, Part]:
    """Divide the published splits into train, val and test, so that each image is in exactly one.

    Validation images come out of the training images, and so do test images where no test split is published.

    Raises:
        ValueError: `split.val` or `split.test` doesn't fit the number of images.
    """
    train = np.arange(len(labels["train"]))
    if "test" in labels:
        test = Part("test", np.arange(len(labels["test"])))
    else:
        train, rows = _take_out("split.test", train, labels["train"], split.test or 0, split.seed)
        test = Part("train", rows)
    train, val = _take_out("split.val", train, labels["train"], split.val, split.seed)
    return {"train": Part("train", train), "val": Part("train", val), "test": test}


def _take_out(place: str, rows: np.ndarray, labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What stays and what is taken out, both growing. `place` names the parameter in errors."""
    sizes = np.bincount(labels[rows])
    classes, most = len(sizes), len(rows) - len(sizes)
    if sizes.min() < 2:
        raise ValueError(f"{place}: {count}: a class has fewer than 2 training images, which can't be divided")
    if not classes <= count <= most:
        raise ValueError(
            f"{place}: {count}: {len(rows)} training images of {classes} classes are there to divide; "
            f"allowed is {classes} to {most}"
        )
    stays, taken = train_test_split(rows, test_size=count, stratify=labels[rows], random_state=seed)
    return np.sort(stays), np.sort(taken)


class Statistics:
    """Sums over the training images in whole numbers, so that they are exact and no order of blocks changes them."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._count = 0
        self._sum = np.zeros(shape, np.int64)
        self._sum_of_squares = np.zeros(shape[0], np.int64)

    def add(self, images: np.ndarray) -> None:
        """Take in uint8 images (N, C, H, W)."""
        self._count += len(images)
        self._sum += images.sum(axis=0, dtype=np.int64)
        self._sum_of_squares += np.square(images, dtype=np.uint16).sum(axis=(0, 2, 3), dtype=np.int64)

    @property
    def mean_image(self) -> np.ndarray:
        """float64 (C, H, W), on pixels scaled to [0, 1]."""
        return self._sum / (255 * self._count)

    @property
    def channel_mean(self) -> list[float]:
        return [total / (255 * self._values) for total in self._channel_sums]

    @property
    def channel_std(self) -> list[float]:
        """The deviation of all pixels of a channel from their mean."""
        return [
            math.sqrt(self._values * squares - total**2) / (255 * self._values)
            for total, squares in zip(self._channel_sums, self._sum_of_squares.tolist(), strict=True)
        ]

    @property
    def _values(self) -> int:
        return self._count * self._sum[0].size

    @property
    def _channel_sums(self) -> list[int]:
        # As Python's numbers, which don't overflow when they are squared.
        return self._sum.sum(axis=(1, 2)).tolist()


class _ImageFile:
    """A `.npy` file that is filled row by row, in any order.

    By plain writes, since a memory map answers a full disk by killing the process.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int, int]) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._start = self._file.tell()
        self._row = int(np.prod(shape[1:]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with named_failures(self._path):
            self._file.close()

    def write(self, rows: np.ndarray, images: np.ndarray) -> None:
        with named_failures(self._path):
            for row, image in zip(rows.tolist(), images, strict=True):
                self._file.seek(self._start + row * self._row)
                self._file.write(image.tobytes())


def _write_arrays(decoded: Decoded, parts: dict[str, Part], paths: PreparedPaths) -> Statistics:
    """Write images and labels of each part, and gather the statistics of the training part on the way."""
    statistics = Statistics(decoded.shape)
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(_ImageFile(paths.images(name), (len(part.rows), *decoded.shape)))
            for name, part in parts.items()
        }
        for block in _with_progress(decoded):
            for name, (rows, images) in _shares(block, parts).items():
                files[name].write(rows, images)
                if name == "train":
                    statistics.add(images)
    for name, part in parts.items():
        write_whole(paths.labels(name), _npy(decoded.labels[part.source][part.rows]))
    return statistics


def _shares(block: Block, parts: dict[str, Part]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each part, the images of a block that belong to it, and their rows there."""
    shares: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, part in parts.items():
        if part.source == block.split:
            rows = np.searchsorted(part.rows, block.rows).clip(max=len(part.rows) - 1)
            belongs = part.rows[rows] == block.rows
            shares[name] = rows[belongs], block.images[belongs]
    return shares


def _with_progress(decoded: Decoded) -> Iterator[Block]:
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Decoding", total=sum(map(len, decoded.labels.values())))
        for block in decoded.blocks():
            yield block
            progress.advance(task, len(block.rows))


def draw_samples(split: Split, classes: list[str]) -> Image.Image:
    """The first images of each class in a row beside the class's name; of many classes only the first ones."""
    shown = classes[:_SHEET_CLASSES]
    font = ImageFont.load_default(_SHEET_FONT)
    tiles = [
        [_tile(image) for image in split.images[np.flatnonzero(split.labels == label)[:_SHEET_SAMPLES]]]
        for label in range(len(shown))
    ]
    width, height = tiles[0][0].size
    text_width = max(round(font.getlength(name)) for name in shown) + 3 * _SHEET_GAP
    top = height // 2
    size = (text_width + _SHEET_SAMPLES * (width + _SHEET_GAP), top + len(shown) * (height + _SHEET_GAP))
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    title = "Training images" + (f" of {len(shown)} of {len(classes)} classes" if len(shown) < len(classes) else "")
    draw.text((_SHEET_GAP, top // 2), title, fill="dimgrey", font=font, anchor="lm")
    for row, (name, images) in enumerate(zip(shown, tiles, strict=True)):
        y = top + row * (height + _SHEET_GAP)
        draw.text((_SHEET_GAP, y + height // 2), name, fill="black", font=font, anchor="lm")
        for column, image in enumerate(images):
            sheet.paste(image, (text_width + column * (width + _SHEET_GAP), y))
    return sheet


def _tile(image: np.ndarray) -> Image.Image:
    """One image (C, H, W), enlarged without smoothing, so that its pixels show, or shrunk."""
    picture = Image.fromarray(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0).copy())
    longer = max(picture.size)
    if longer > _SHEET_PIXELS:
        picture.thumbnail((_SHEET_PIXELS, _SHEET_PIXELS))
        return picture
    factor = _SHEET_PIXELS // longer
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _png(image: Image.Image) -> bytes:
    content = BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def _npy(array: np.ndarray) -> bytes:
    content = BytesIO()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()


def _notes(data: DataConfig, decoded: Decoded) -> list[str]:
    if data.name == "imagefolder":
        return decoded.notes
    published = PUBLISHED[data.name]
    changed = [NOT_PUBLISHED] if raw_files(data) != published.files else []
    return [note for note in (published.note, *changed, *decoded.notes) if note]
