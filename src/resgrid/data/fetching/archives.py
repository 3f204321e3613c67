"""Archives of files: names and contents, read without unpacking them to disk, and refused where they are unsafe."""

from __future__ import annotations

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Self

_MEMBER_LIMIT = 1 << 28  # bytes of one file in an archive; CIFAR-100's training file has 155 million
_UNPACKED_LIMIT = 1 << 30  # bytes that any archive may unpack to
_ZIP_MAGIC = b"PK\x03\x04"
_UNPACKED_RATIO = 100  # beyond that, how many times its own size: image files hardly shrink in an archive
_DAMAGED = (
    tarfile.TarError,
    gzip.BadGzipFile,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,  # a zip with a password, or packed in a way that Python doesn't know
)


class _Member(NamedTuple):
    """One entry of an archive; `read` is None for a folder."""

    name: str
    size: int
    read: Callable[[], bytes] | None


def members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the wanted files in an archive, in its order. Nothing is written to disk.

    Raises:
        ValueError: the archive is damaged, holds links or names that lead out of it, or unpacks to too much.
    """
    limit = max(_UNPACKED_LIMIT, _UNPACKED_RATIO * path.stat().st_size)
    unpacked = 0
    try:
        for member in _zip_members(path) if _is_zip(path) else _tar_members(path):
            parts = PurePosixPath(member.name).parts
            if ".." in parts or member.name.startswith("/") or "\\" in member.name:
                raise ValueError(f"{path}: refused, since the name {member.name!r} leads out of the archive")
            unpacked += member.size
            if member.size > _MEMBER_LIMIT or unpacked > limit:
                raise ValueError(
                    f"{path}: refused, since it unpacks to too much ({unpacked} bytes up to {member.name!r})"
                )
            name = "/".join(parts)
            if member.read is not None and wanted(name):
                yield name, member.read()
    except _DAMAGED as error:
        raise ValueError(f"{path}: truncated or damaged ({error}); get it anew and run `dvc repro download`") from error


def _is_zip(path: Path) -> bool:
    # By content as well: an unfinished download has another name.
    with path.open("rb") as file:
        return path.suffix == ".zip" or file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC


class _StrictTarInfo(tarfile.TarInfo):
    """Without this, tarfile takes a damaged header, or the lack of an end mark, for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise  # the end mark
            raise tarfile.ReadError(f"damaged header: {error}") from error


def _tar_members(path: Path) -> Iterator[_Member]:
    with tarfile.open(path, "r:*", tarinfo=_StrictTarInfo) as archive:
        for info in archive:
            if not (info.isfile() or info.isdir()):
                raise ValueError(f"{path}: refused, since {info.name!r} is a link or a device")
            content = archive.extractfile(info)
            yield _Member(info.name, info.size, content.read if content is not None else None)


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if stat.S_ISLNK(info.external_attr >> 16):
                raise ValueError(f"{path}: refused, since {info.filename!r} is a link")
            yield _Member(info.filename, info.file_size, None if info.is_dir() else partial(archive.read, info))
