"""The index of image files that stay files: path, size and SHA-256 of each.

DVC stores the index and never the files, which may be 150 GB. The index is the data's identity: every read of a file
compares its content with the SHA-256 in the index (`read_checked` in store.py), so that no changed file is ever used.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from rich.progress import Progress

from resgrid.artifacts.files import csv_bytes, path_in_errors, state_folder, write_atomically
from resgrid.data.fetching.archives import read_members
from resgrid.data.fetching.layout import image_location, is_in_a_split
from resgrid.terminal import console

_COLUMNS = ("path", "bytes", "sha256")
_BLOCK = 1000  # files that are handed to the threads at once


class IndexedFile(NamedTuple):
    """A line of the index.

    Attributes:
        path: `<split>/<class>/<file>`.
        bytes: size of the file.
        sha256: of the file's content, in hexadecimal digits.
    """

    path: str
    bytes: int
    sha256: str


def index_files(folder: Path, paths: Iterable[str]) -> list[IndexedFile]:
    """Read and hash image files, by their paths below a folder; the result is sorted by path.

    Raises:
        OSError: a file can't be read.
    """
    ordered = sorted(paths)

    def indexed(path: str) -> IndexedFile:
        content = (folder / path).read_bytes()
        return IndexedFile(path, len(content), hashlib.sha256(content).hexdigest())

    files: list[IndexedFile] = []
    with (
        ThreadPoolExecutor() as threads,
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task("Hashing the image files", total=len(ordered))
        for start in range(0, len(ordered), _BLOCK):
            files += threads.map(indexed, ordered[start : start + _BLOCK])
            progress.update(task, completed=len(files))
    return files


def write_index(path: Path, files: Iterable[IndexedFile]) -> str:
    """Write an index as CSV and return its SHA-256."""
    content = csv_bytes(_COLUMNS, files)
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def read_index(path: Path) -> list[IndexedFile]:
    """Read an index back.

    Raises:
        ValueError: the index is missing or damaged.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
            if tuple(header) != _COLUMNS:
                raise ValueError(f"its columns are {', '.join(header)}, not {', '.join(_COLUMNS)}")
            return [IndexedFile(name, int(size), sha256) for name, size, sha256 in rows]
    except FileNotFoundError:
        raise ValueError(f"{path}: is missing; run `dvc repro download`") from None
    except ValueError as error:
        raise ValueError(
            f"{path}: is not an index of image files ({error}); run `dvc repro --force download`"
        ) from None


def unpack_images(archive: Path, location: str) -> Path:
    """Unpack the images of an archive into a new folder under `state_folder()/images`.

    The folder around `train` that many archives have is omitted.

    Args:
        location: where the archive comes from, for messages.

    Raises:
        ValueError: the archive is damaged or unsafe.
        OSError: the disk is full. Nothing is left then.
    """
    (state_folder() / "images").mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=state_folder() / "images"))
    try:
        for name, content in read_members(archive, is_in_a_split, location):
            path = folder.joinpath(*image_location(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            with path_in_errors(path):
                path.write_bytes(content)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return folder
