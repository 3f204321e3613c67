"""Prepare images that stay in their files: worker processes decode each image once, to find unreadable images and for
the statistics of the training part; then paths, labels and checksums of the splits are written."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from rich.progress import Progress

from resgrid.artifacts.data_card import SPLITS, DatasetCard, PreparedPaths
from resgrid.artifacts.files import sha256_of_file, sha256_of_files, write_atomically
from resgrid.config.data import DataConfig, SplitConfig
from resgrid.data.fetching.index import IndexedFile, read_index
from resgrid.data.fetching.layout import Layout, listed, read_layout
from resgrid.data.fetching.raw_files import INDEX_NAME, label_of
from resgrid.data.preparing.decoded import conversion_notes
from resgrid.data.preparing.division import Part, divide
from resgrid.data.preparing.duplicates import count_duplicates, duplicate_notes, pixel_digest
from resgrid.data.preparing.samples import SAMPLE_CLASSES, SAMPLES_PER_CLASS, as_png, draw_samples
from resgrid.data.preparing.statistics import ColorStatistics
from resgrid.data.reading.image_location import images_folder
from resgrid.data.reading.pixels import center_crop, read_image, read_rgb, scaled
from resgrid.data.reading.store import ImageFiles, Split, as_npy, read_checked
from resgrid.data.reading.workers import lifeline, start_worker, worker_context
from resgrid.terminal import console

_CHUNK = 256  # images that a worker decodes before it reports


class CorruptImagesError(ValueError):
    """Image files can't be read; the message lists them."""


def write_files(data: DataConfig, split: SplitConfig, raw: Path, paths: PreparedPaths) -> DatasetCard:
    """Write the splits of indexed image files, their mean image and a sample sheet; return the card.

    The division includes unreadable images: skipping one moves no other image from one split to another.

    Raises:
        CorruptImagesError: image files can't be read, and `data.corrupt` is `error`.
        ValueError: the index or one of its files is missing or changed, or the split doesn't fit the images.
    """
    assert data.image_size is not None
    assert data.shorter_side is not None
    index = {file.path: file for file in read_index(raw / INDEX_NAME)}
    index_sha256 = sha256_of_file(raw / INDEX_NAME)
    folder = images_folder(index_sha256)
    layout = read_layout(str(data.source), index)
    parts = divide(layout.labels, split, layout.classes)
    files = _files_of_parts(layout, index, parts)
    seen = _decode_all(folder, files, _Sizes(data.shorter_side, data.image_size))
    if seen.unreadable and data.corrupt == "error":
        raise CorruptImagesError(_unreadable(data, seen.unreadable))
    kept = {name: np.array([file.path not in seen.unreadable for file in files[name]], dtype=bool) for name in SPLITS}
    labels = {name: layout.labels[part.source][part.rows] for name, part in parts.items()}
    for name in SPLITS:
        if lost := sorted({layout.classes[label] for label in set(labels[name]) - set(labels[name][kept[name]])}):
            raise CorruptImagesError(
                f"{name}: has no readable image of the class {', '.join(lost)}; {_unreadable(data, seen.unreadable)}"
            )
        readable = [file for file, is_kept in zip(files[name], kept[name], strict=True) if is_kept]
        _write_split(name, readable, labels[name][kept[name]], paths)
    duplicates = count_duplicates(
        {name: np.array(seen.digests[name], np.uint64)[kept[name]] for name in SPLITS},
        {name: labels[name][kept[name]] for name in SPLITS},
    )
    write_atomically(paths.mean_image, as_npy(seen.statistics.mean_image.astype(np.float32)))
    train = ImageFiles(paths, "train", folder)
    samples = _samples(train, _Sizes(data.shorter_side, data.image_size))
    write_atomically(paths.samples, as_png(draw_samples(samples, layout.classes)))
    return DatasetCard(
        name=data.name,
        label=label_of(data),
        note="; ".join([*_notes(layout, seen), *seen.statistics.notes, *duplicate_notes(duplicates)]),
        shape=(3, data.image_size, data.image_size),
        classes=layout.classes,
        counts={name: int(kept[name].sum()) for name in SPLITS},
        channel_mean=seen.statistics.channel_mean,
        channel_std=seen.statistics.channel_std,
        sha256=sha256_of_files(paths.root, (path for path in paths.root.rglob("*") if path.is_file())),
        storage="files",
        images=index_sha256,
        shorter_side=data.shorter_side,
        channel_covariance=seen.statistics.channel_covariance,
        skipped=seen.unreadable,
        conversions=dict(seen.conversions),
        duplicates=duplicates,
    )


class _Sizes(NamedTuple):
    """In pixels: the shorter side to which an image is scaled, and the side of its central crop."""

    shorter_side: int
    crop: int


@dataclass(frozen=True, eq=False)
class _Seen:
    """Findings of the workers.

    Attributes:
        statistics: of the readable training images.
        unreadable: reasons by path.
        conversions: readable images that lost information on the way to 8-bit RGB, by kind.
        digests: of the pixels of each image, by split and in the order of its rows; 0 for unreadable images.
    """

    statistics: ColorStatistics
    unreadable: dict[str, str] = field(default_factory=dict)
    conversions: Counter[str] = field(default_factory=Counter)
    digests: dict[str, list[int]] = field(default_factory=lambda: {split: [] for split in SPLITS})


def _files_of_parts(
    layout: Layout, index: dict[str, IndexedFile], parts: dict[str, Part]
) -> dict[str, list[IndexedFile]]:
    """Return the image files of each split, in the order of its rows."""
    published: dict[str, list[str]] = {split: [""] * len(labels) for split, labels in layout.labels.items()}
    for path, (split, row) in layout.rows.items():
        published[split][row] = path
    return {name: [index[published[part.source][row]] for row in part.rows] for name, part in parts.items()}


def _decode_all(folder: Path, files: dict[str, list[IndexedFile]], sizes: _Sizes) -> _Seen:
    seen = _Seen(ColorStatistics((3, sizes.crop, sizes.crop)))
    chunks = [
        (name, part[start : start + _CHUNK]) for name, part in files.items() for start in range(0, len(part), _CHUNK)
    ]
    splits, images = zip(*chunks, strict=True)
    context = worker_context(__name__)
    with (
        lifeline(context) as line,
        ProcessPoolExecutor(mp_context=context, initializer=start_worker, initargs=(line,)) as workers,
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task("Decoding", total=sum(map(len, images)))
        results = workers.map(_decode, [folder] * len(chunks), images, [sizes] * len(chunks), splits)
        for found, chunk in zip(results, images, strict=True):
            seen.statistics.merge(found.statistics)
            seen.unreadable.update(found.unreadable)
            seen.conversions.update(found.conversions)
            for split in SPLITS:
                seen.digests[split] += found.digests[split]
            progress.advance(task, len(chunk))
    return seen


def _decode(folder: Path, files: list[IndexedFile], sizes: _Sizes, split: str) -> _Seen:
    """Decode some images of a split, in a worker.

    Raises:
        ValueError: a file is not the indexed file.
    """
    seen = _Seen(ColorStatistics((3, sizes.crop, sizes.crop)))
    for file in files:
        content = read_checked(folder, file.path, bytes.fromhex(file.sha256))
        try:
            image, conversions = read_image(content)
            crop = _central_crop(image, sizes)
        except ValueError as error:
            seen.unreadable[file.path] = str(error)
            seen.digests[split].append(0)
            continue
        seen.conversions.update(conversions)
        seen.digests[split].append(pixel_digest(np.asarray(image)))
        if split == "train":
            seen.statistics.add(crop[np.newaxis])
    return seen


def _central_crop(image: Image.Image, sizes: _Sizes) -> np.ndarray:
    """Scale and crop an image to uint8 (3, crop, crop)."""
    return np.asarray(center_crop(scaled(image, sizes.shorter_side), sizes.crop)).transpose(2, 0, 1)


def _write_split(name: str, files: list[IndexedFile], labels: np.ndarray, paths: PreparedPaths) -> None:
    hashes = np.frombuffer(b"".join(bytes.fromhex(file.sha256) for file in files), np.uint8).reshape(-1, 32)
    write_atomically(paths.labels(name), as_npy(labels))
    write_atomically(paths.image_files(name), as_npy(np.array([file.path.encode() for file in files], dtype=np.bytes_)))
    write_atomically(paths.image_hashes(name), as_npy(hashes))


def _samples(train: ImageFiles, sizes: _Sizes) -> Split:
    """Read the images for the sample sheet."""
    rows = np.concatenate(
        [np.flatnonzero(train.labels == label)[:SAMPLES_PER_CLASS] for label in range(SAMPLE_CLASSES)]
    )
    crops = [_central_crop(read_rgb(train.read(row)), sizes) for row in rows.tolist()]
    return Split(np.stack(crops), train.labels[rows])


def _notes(layout: Layout, seen: _Seen) -> list[str]:
    count = len(seen.unreadable)
    skipped = [f"{count} unreadable image{'s' if count > 1 else ''} skipped"] if count else []
    return [*layout.notes, *skipped, *conversion_notes(seen.conversions)]


def _unreadable(data: DataConfig, unreadable: dict[str, str]) -> str:
    count = f"{len(unreadable)} image file{'s' if len(unreadable) > 1 else ''}"
    return (
        f"{data.source}: {count} can't be read; fix or remove them, or set data.corrupt: skip, which omits and counts "
        f"them:\n{listed(unreadable)}"
    )
