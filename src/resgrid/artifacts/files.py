"""Files that pass between pipeline stages: atomic writes, hashes, JSON records and CSV tables."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

RAW = Path("data/raw")


RUNS = Path("runs")


REPORTS = Path("reports")


def state_folder() -> Path:
    """The folder for what must outlive a run but is no result: checkpoints for resuming and run records.

    `.resgrid` in the working folder, unless the environment variable `RESGRID_STATE` names another.
    """
    return Path(os.environ.get("RESGRID_STATE", ".resgrid"))


class JsonRecord(BaseModel):
    """A record that is written as JSON, in the same bytes for the same content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_bytes(self) -> bytes:
        text = json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False)
        return (text + "\n").encode()

    def write(self, path: Path) -> None:
        write_atomically(path, self.to_bytes())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record back.

        Raises:
            FileNotFoundError: it isn't there.
            ValueError: it is damaged.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise FileNotFoundError(f"{path} is missing; `dvc repro` makes it") from None
        except ValidationError as error:
            raise ValueError(f"{path} is damaged: {error}") from None


def csv_bytes(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """A table with a header row, in the same bytes for the same content on every system."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: beside its place first, then by rename.

    Raises:
        OSError: with the path in it: the folder is read-only, the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with path_in_errors(path):
            partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def path_in_errors(path: Path) -> Iterator[None]:
    """Put the path into errors of writing: a full disk answers without saying where.

    Raises:
        OSError: with `path` in it.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        reason = f"{os.strerror(error.errno)}; make room in {path.parent.absolute()}"
        raise OSError(error.errno, reason, str(path)) from error


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_files(root: Path, paths: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of each file, by its path below `root`."""
    return {path.relative_to(root).as_posix(): sha256_of_file(path) for path in sorted(paths)}
