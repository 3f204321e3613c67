"""Folders that are written by one process at a time, completely or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time write a folder. The lock file is next to the folder.

    Raises:
        OSError: the folder around it can't be written.
    """
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise OSError(error.errno, f"{reason}; make the folder around it writable", str(folder)) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Provide an empty folder that replaces `folder` if the block ends without an error.

    The caller holds `folder_lock(folder)`.

    Raises:
        OSError: the folder around it is read-only.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    _remove(partial)  # of a killed process
    partial.mkdir()
    try:
        yield partial
        _remove(folder)
        partial.rename(folder)
    finally:
        _remove(partial)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
