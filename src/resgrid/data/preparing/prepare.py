"""Prepare the data: the split, the statistics of the training part, a sample sheet and the card."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from rich.progress import Progress

from resgrid.artifacts.atomic_folder import atomic_folder, folder_lock
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.files import RAW, path_in_errors, sha256_of_files, write_atomically
from resgrid.config.data import DataConfig, SplitConfig
from resgrid.data.fetching.raw_files import label_of, raw_files
from resgrid.data.preparing.decode import decode
from resgrid.data.preparing.decoded import Block, Decoded, conversion_notes
from resgrid.data.preparing.division import Part, divide
from resgrid.data.preparing.duplicates import count_duplicates, duplicate_notes, pixel_digest
from resgrid.data.preparing.prepare_files import write_files
from resgrid.data.preparing.samples import as_png, draw_samples
from resgrid.data.preparing.statistics import Statistics
from resgrid.data.reading.store import as_npy, open_split
from resgrid.datasets import DATASETS, IMAGEFOLDER
from resgrid.terminal import console

_PREPARED = PreparedPaths()
_NOT_PUBLISHED = "not the published files: checksums given in params.yaml"


def prepare(data: DataConfig, split: SplitConfig, raw: Path = RAW, into: PreparedPaths = _PREPARED) -> DatasetCard:
    """Decode the raw files, split them, and write everything that `PreparedPaths` names.

    Images are uint8 (N, C, H, W) in the order of the published files (image folders: sorted by class and name), or with
    storage `files` the paths of their files in that order; splits are stratified by class. The same raw files and
    parameters give the same bytes.

    Raises:
        ValueError: a raw file is missing or damaged, or the split asks for more images than there are.
        OSError: the folder is read-only, or the disk is full. The previous content is kept then.
    """
    write = write_files if data.storage == "files" else _write_arrays
    with folder_lock(into.root), atomic_folder(into.root) as folder:
        card = write(data, split, raw, PreparedPaths(folder))
        card.write(PreparedPaths(folder).card)
    sizes = ", ".join(f"{count} {name}" for name, count in card.counts.items())
    console.print(f"{into.root}: {card.label}, {sizes}{f' ({card.note})' if card.note else ''}")
    return card


def _write_arrays(data: DataConfig, split: SplitConfig, raw: Path, paths: PreparedPaths) -> DatasetCard:
    """Write everything except the card, which is returned."""
    decoded = decode(data, raw)
    parts = divide(decoded.labels, split, decoded.classes)
    statistics, duplicates = _write_images(decoded, parts, paths)
    write_atomically(paths.mean_image, as_npy(statistics.mean_image.astype(np.float32)))
    write_atomically(paths.samples, as_png(draw_samples(open_split(paths, "train"), decoded.classes)))
    return DatasetCard(
        name=data.name,
        label=label_of(data),
        note="; ".join([*_notes(data, decoded), *statistics.notes, *duplicate_notes(duplicates)]),
        shape=decoded.shape,
        classes=decoded.classes,
        counts={name: len(part.rows) for name, part in parts.items()},
        channel_mean=statistics.channel_mean,
        channel_std=statistics.channel_std,
        sha256=sha256_of_files(paths.root, (path for path in paths.root.rglob("*") if path.is_file())),
        conversions=dict(decoded.conversions),
        duplicates=duplicates,
    )


class _ImageFile:
    """A `.npy` file that is filled row by row, in any order.

    With plain writes: a full disk kills a process that writes through a memory map.
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
        with path_in_errors(self._path):
            self._file.close()

    def write(self, rows: np.ndarray, images: np.ndarray) -> None:
        with path_in_errors(self._path):
            for row, image in zip(rows.tolist(), images, strict=True):
                self._file.seek(self._start + row * self._row)
                self._file.write(image.tobytes())


def _write_images(decoded: Decoded, parts: dict[str, Part], paths: PreparedPaths) -> tuple[Statistics, dict[str, int]]:
    """Write images and labels of each part; return the statistics of the training part and the duplicates."""
    statistics = Statistics(decoded.shape)
    labels = {name: decoded.labels[part.source][part.rows] for name, part in parts.items()}
    digests = {name: np.zeros(len(part.rows), np.uint64) for name, part in parts.items()}
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(_ImageFile(paths.images(name), (len(part.rows), *decoded.shape)))
            for name, part in parts.items()
        }
        for block in _with_progress(decoded):
            for name, (rows, images) in _shares(block, parts).items():
                files[name].write(rows, images)
                digests[name][rows] = [pixel_digest(image) for image in images]
                if name == "train":
                    statistics.add(images)
    for name in parts:
        write_atomically(paths.labels(name), as_npy(labels[name]))
    return statistics, count_duplicates(digests, labels)


def _shares(block: Block, parts: dict[str, Part]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each part the images of a block that belong to the part, after their rows in the part."""
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


def _notes(data: DataConfig, decoded: Decoded) -> list[str]:
    notes = [*decoded.notes, *conversion_notes(decoded.conversions)]
    if data.name == IMAGEFOLDER:
        return notes
    dataset = DATASETS[data.name]
    changed = [_NOT_PUBLISHED] if raw_files(data) != dataset.files else []
    return [note for note in (dataset.note, *changed, *notes) if note]
