"""The index of image files that stay files: which ones, how large, and the SHA-256 of each.

DVC keeps the index and never the files, which may be 150 GB. What stands in the index is the data's identity: whoever
reads a file compares it with its SHA-256 there (`read_checked` in store.py), so that no changed file is ever used.
"""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from rich.progress import Progress

from resgrid.artifacts.data_card import SPLITS
from resgrid.artifacts.files import path_in_errors, sha256_of_text, state_folder, write_atomically
from resgrid.data.fetching.archives import members
from resgrid.data.fetching.layout import is_in_a_split, place_in_layout
from resgrid.terminal import console

_COLUMNS = ("path", "bytes", "sha256")
_BLOCK = 1000  # files that are handed to the threads at once


class IndexedFile(NamedTuple):
    """A line of the index.

    Attributes:
        path: `<split>/<class>/<file>`.
        bytes: its size.
        sha256: of its content, in hexadecimal digits.
    """

    path: str
    bytes: int
    sha256: str


def files_of_splits(folder: Path) -> Iterator[Path]:
    """Every file below the folders of the splits, hidden ones included."""
    # os.walk because pathlib passes over folders that are links, as class folders often are.
    for split in SPLITS:
        for parent, _, names in os.walk(folder / split, followlinks=True):
            yield from (Path(parent) / name for name in names)


def index_folder(folder: Path) -> list[IndexedFile]:
    """Read and hash every image below a folder of splits; sorted by path.

    Raises:
        ValueError: a file lies elsewhere than in `<split>/<class>/<image>`, or is no image by its name.
        OSError: a file can't be read.
    """
    names = (path.relative_to(folder).as_posix() for path in files_of_splits(folder))
    paths = sorted("/".join(place_in_layout(folder, name)) for name in names if is_in_a_split(name))

    def indexed(path: str) -> IndexedFile:
        content = (folder / path).read_bytes()
        return IndexedFile(path, len(content), hashlib.sha256(content).hexdigest())

    files: list[IndexedFile] = []
    with ThreadPoolExecutor() as threads, _progress() as progress:
        task = progress.add_task("Hashing the image files", total=len(paths))
        for start in range(0, len(paths), _BLOCK):
            files += threads.map(indexed, paths[start : start + _BLOCK])
            progress.update(task, completed=len(files))
    return files


def write_index(path: Path, files: Iterable[IndexedFile]) -> str:
    """Write an index as CSV, and return its SHA-256."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(files)
    write_atomically(path, text.getvalue().encode())
    return sha256_of_text(text.getvalue())


def read_index(path: Path) -> list[IndexedFile]:
    """Read an index back.

    Raises:
        ValueError: it is missing or damaged.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
            if tuple(header) != _COLUMNS:
                raise ValueError(f"its columns are {', '.join(header)}, not {', '.join(_COLUMNS)}")
            return [IndexedFile(name, int(size), sha256) for name, size, sha256 in rows]
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; run `dvc repro download`") from None
    except ValueError as error:
        raise ValueError(f"{path} is no index of image files ({error}); run `dvc repro --force download`") from None


def unpacked(archive: Path) -> Path:
    """Unpack the images of an archive into a new folder under `state_folder()/images`.

    The folder around `train` that many archives have is left out.

    Raises:
        ValueError: the archive is damaged or unsafe, or holds something else than images of splits.
        OSError: the disk is full. Nothing is left then.
    """
    (state_folder() / "images").mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=state_folder() / "images"))
    try:
        for name, content in members(archive, is_in_a_split):
            path = folder.joinpath(*place_in_layout(archive, name))
            if path.exists():
                raise ValueError(f"{archive}: holds {path.relative_to(folder)} twice")
            path.parent.mkdir(parents=True, exist_ok=True)
            with path_in_errors(path):
                path.write_bytes(content)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return folder


def _progress() -> Progress:
    return Progress(console=console, transient=True, disable=not console.is_terminal)
