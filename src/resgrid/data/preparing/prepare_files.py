"""Preparing images that stay in their files: each is decoded once, in worker processes, to see that it can be, and
for the statistics of the training part; then paths, labels and checksums of the splits are written."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.progress import Progress

from resgrid.artifacts.data_card import SPLITS, DatasetCard, PreparedPaths
from resgrid.artifacts.files import sha256_of_file, sha256_of_files, write_atomically
from resgrid.config.data import DataConfig, SplitConfig
from resgrid.data.fetching.index import IndexedFile, read_index
from resgrid.data.fetching.layout import Layout, read_layout
from resgrid.data.fetching.published import INDEX_NAME, label_of
from resgrid.data.preparing.division import Part, divide
from resgrid.data.preparing.samples import SAMPLE_CLASSES, SAMPLES_PER_CLASS, as_png, draw_samples
from resgrid.data.preparing.statistics import ColorStatistics
from resgrid.data.reading.image_location import images_folder
from resgrid.data.reading.pixels import center_crop, read_rgb, scaled
from resgrid.data.reading.store import ImageFiles, Split, as_npy, read_checked
from resgrid.data.reading.workers import lifeline, start_worker, worker_context
from resgrid.terminal import console

_CHUNK = 256  # images that a worker looks at before it reports
_NAMED_AT_MOST = 20


class CorruptImagesError(ValueError):
    """Image files can't be read; the message lists them."""


def write_files(data: DataConfig, split: SplitConfig, raw: Path, paths: PreparedPaths) -> DatasetCard:
    """Write the splits of indexed image files, their mean image and a sample sheet; the card is returned.

    The division counts unreadable images too: skipping one moves no other image from one split to another.

    Raises:
        CorruptImagesError: image files can't be read, and `data.corrupt` is `error`.
        ValueError: the index or a file of it is missing or changed, or the split doesn't fit the number of images.
    """
    assert data.image_size is not None
    assert data.shorter_side is not None
    index = {file.path: file for file in read_index(raw / INDEX_NAME)}
    index_sha256 = sha256_of_file(raw / INDEX_NAME)
    folder = images_folder(index_sha256)
    layout = read_layout(folder, index)
    parts = divide(layout.labels, split)
    files = _files_of_parts(layout, index, parts)
    seen = _look_at_all(folder, files, _Sizes(data.shorter_side, data.image_size))
    if seen.unreadable and data.corrupt == "error":
        raise CorruptImagesError(_list_of(seen.unreadable))
    counts = {name: _write_split(name, files[name], layout, parts[name], seen.unreadable, paths) for name in SPLITS}
    write_atomically(paths.mean_image, as_npy(seen.statistics.mean_image.astype(np.float32)))
    train = ImageFiles(paths, "train", folder)
    samples = _samples(train, _Sizes(data.shorter_side, data.image_size))
    write_atomically(paths.samples, as_png(draw_samples(samples, layout.classes)))
    return DatasetCard(
        name=data.name,
        label=label_of(data),
        note="; ".join(_notes(layout, seen.unreadable)),
        shape=(3, data.image_size, data.image_size),
        classes=layout.classes,
        counts=counts,
        channel_mean=seen.statistics.channel_mean,
        channel_std=seen.statistics.channel_std,
        sha256=sha256_of_files(paths.root, (path for path in paths.root.rglob("*") if path.is_file())),
        storage="files",
        images=index_sha256,
        shorter_side=data.shorter_side,
        channel_covariance=seen.statistics.channel_covariance,
        skipped=seen.unreadable,
    )


class _Sizes(NamedTuple):
    """In pixels: the shorter side to which an image is scaled, and the side of the central crop of it."""

    shorter_side: int
    crop: int


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the workers found: statistics of the readable training images, and the others with the reason, by path."""

    statistics: ColorStatistics
    unreadable: dict[str, str]


def _files_of_parts(
    layout: Layout, index: dict[str, IndexedFile], parts: dict[str, Part]
) -> dict[str, list[IndexedFile]]:
    """The image files of each split, in the order of its rows."""
    published: dict[str, list[str]] = {split: [""] * len(labels) for split, labels in layout.labels.items()}
    for path, (split, row) in layout.rows.items():
        published[split][row] = path
    return {name: [index[published[part.source][row]] for row in part.rows] for name, part in parts.items()}


def _look_at_all(folder: Path, files: dict[str, list[IndexedFile]], sizes: _Sizes) -> _Seen:
    seen = _Seen(ColorStatistics((3, sizes.crop, sizes.crop)), {})
    chunks = [
        (name == "train", part[start : start + _CHUNK])
        for name, part in files.items()
        for start in range(0, len(part), _CHUNK)
    ]
    is_train, images = zip(*chunks, strict=True)
    context = worker_context(__name__)
    with (
        lifeline(context) as line,
        ProcessPoolExecutor(mp_context=context, initializer=start_worker, initargs=(line,)) as workers,
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task("Decoding", total=sum(map(len, images)))
        results = workers.map(_look, [folder] * len(chunks), images, [sizes] * len(chunks), is_train)
        for found, chunk in zip(results, images, strict=True):
            seen.statistics.merge(found.statistics)
            seen.unreadable.update(found.unreadable)
            progress.advance(task, len(chunk))
    return seen


def _look(folder: Path, files: list[IndexedFile], sizes: _Sizes, is_train: bool) -> _Seen:
    """In a worker: decode some images.

    Raises:
        ValueError: a file is not the one that was indexed.
    """
    seen = _Seen(ColorStatistics((3, sizes.crop, sizes.crop)), {})
    for file in files:
        content = read_checked(folder, file.path, bytes.fromhex(file.sha256))
        try:
            crop = _central(content, sizes)
        except ValueError as error:
            seen.unreadable[file.path] = str(error)
            continue
        if is_train:
            seen.statistics.add(crop[np.newaxis])
    return seen


def _central(content: bytes, sizes: _Sizes) -> np.ndarray:
    """uint8 (3, crop, crop)."""
    return np.asarray(center_crop(scaled(read_rgb(content), sizes.shorter_side), sizes.crop)).transpose(2, 0, 1)


def _write_split(
    name: str, files: list[IndexedFile], layout: Layout, part: Part, unreadable: dict[str, str], paths: PreparedPaths
) -> int:
    """Write a split's readable images; their number is returned."""
    kept = np.array([file.path not in unreadable for file in files], dtype=bool)
    labels = layout.labels[part.source][part.rows][kept]
    readable = [file for file in files if file.path not in unreadable]
    if len(np.unique(labels)) < len(np.unique(layout.labels[part.source][part.rows])):
        raise CorruptImagesError(f"of a class no image in the split {name} is left:\n{_list_of(unreadable)}")
    hashes = np.frombuffer(b"".join(bytes.fromhex(file.sha256) for file in readable), np.uint8).reshape(-1, 32)
    write_atomically(paths.labels(name), as_npy(labels))
    write_atomically(
        paths.image_files(name), as_npy(np.array([file.path.encode() for file in readable], dtype=np.bytes_))
    )
    write_atomically(paths.image_hashes(name), as_npy(hashes))
    return len(readable)


def _samples(train: ImageFiles, sizes: _Sizes) -> Split:
    """The images for the sample sheet."""
    rows = np.concatenate(
        [np.flatnonzero(train.labels == label)[:SAMPLES_PER_CLASS] for label in range(SAMPLE_CLASSES)]
    )
    return Split(np.stack([_central(train.read(row), sizes) for row in rows.tolist()]), train.labels[rows])


def _notes(layout: Layout, unreadable: dict[str, str]) -> list[str]:
    notes = ["tested on val"] if layout.test_folder == "val" else []
    if unreadable:
        notes.append(f"{len(unreadable)} unreadable image{'s' if len(unreadable) > 1 else ''} skipped")
    return notes


def _list_of(unreadable: dict[str, str]) -> str:
    count = len(unreadable)
    more = [f"  and {count - _NAMED_AT_MOST} more"] if count > _NAMED_AT_MOST else []
    named = [f"  {path}: {reason}" for path, reason in list(unreadable.items())[:_NAMED_AT_MOST]]
    heading = f"{count} image file{'s' if count > 1 else ''} can't be read:"
    advice = "Mend or remove them, or let data.corrupt in params.yaml be skip, which leaves them out and counts them"
    return "\n".join([heading, *named, *more, advice])
