"""Files that pass between pipeline stages: atomic writes, hashes, JSON records and CSV tables."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

RAW = Path("data/raw")
RUNS = Path("runs")
REPORTS = Path("reports")


def state_folder() -> Path:
    """Return the folder of files that outlive a run but are not results: checkpoints, run records, downloads.

    It is `.resgrid` in the working folder, unless the environment variable `RESGRID_STATE` names another.
    """
    return Path(os.environ.get("RESGRID_STATE", ".resgrid"))


class JsonRecord(BaseModel):
    """A record that is written as JSON, in the same bytes for the same content.

    JSON has neither NaN nor infinity: both are written as `null`, which a float (or dict of floats) reads as NaN.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _null_is_nan(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        annotation = cls.model_fields[info.field_name].annotation
        if annotation is float and value is None:
            return math.nan
        if annotation == dict[str, float] and isinstance(value, dict):
            return {key: math.nan if item is None else item for key, item in value.items()}
        return value

    def to_bytes(self) -> bytes:
        """Return the record as JSON."""
        values = _without_nan(self.model_dump(mode="json"))
        return (json.dumps(values, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()

    def write(self, path: Path) -> None:
        """Write the record atomically.

        Raises:
            OSError: the file can't be written.
        """
        write_atomically(path, self.to_bytes())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record back.

        Raises:
            FileNotFoundError: the file is missing.
            ValueError: the file is damaged.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise FileNotFoundError(f"{path}: is missing; run `dvc repro`") from None
        except ValidationError as error:
            raise ValueError(f"{path}: is damaged: {error}; delete it and run `dvc repro`") from None


def csv_bytes(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """Format a table with a header row as CSV, in the same bytes on every system."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file completely or not at all: to a temporary file next to it, which is then renamed.

    Raises:
        OSError: the folder is read-only or the disk is full; the path is named.
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
    """Add the path to errors of writing: that of a full disk doesn't name the file.

    Raises:
        OSError: with `path` as its file name.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        reason = f"{os.strerror(error.errno)}; make room in {path.parent.absolute()}"
        raise OSError(error.errno, reason, str(path)) from error


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sha256_of_file(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_text(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_files(root: Path, paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file, by its path below `root`."""
    return {path.relative_to(root).as_posix(): sha256_of_file(path) for path in sorted(paths)}
