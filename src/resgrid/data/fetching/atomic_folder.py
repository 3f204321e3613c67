"""Folders that appear whole or not at all, written by one process at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Let one process at a time write a folder. The lock lies beside it.

    Raises:
        OSError: the place can't be written.
    """
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise OSError(error.errno, f"{reason}: the folder around it must be writable", str(folder)) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write into, which takes the place of `folder` if the block ends without an error.

    The caller holds `folder_lock(folder)`.

    Raises:
        OSError: the place is read-only.
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
