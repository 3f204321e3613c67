"""Content of raw files: verify, decompress and write it, and recognize what servers send in its place."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from resgrid.artifacts.files import path_in_errors, sha256_of_file
from resgrid.datasets import RawFile
from resgrid.terminal import console

_CHUNK = 1 << 20
_SHOWN = 200  # letters of a name in a message
_GZIP_MAGIC = b"\x1f\x8b"
_DECOMPRESSED_LIMIT = 1 << 30  # bytes; the largest idx file has 47 million


class SourceError(ValueError):
    """A location doesn't give the right file; the message names the file, the location and what to do."""


def quoted(name: str) -> str:
    """Return a name in quotes, shortened for messages."""
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…")


def head_of(path: Path) -> bytes:
    """Return the first bytes of a file."""
    with path.open("rb") as file:
        return file.read(512)


def describe_text(head: bytes) -> str:
    """Describe a text that servers and version control put in the place of a file; empty if `head` is not one."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "an HTML page, such as a login or error page"
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, which `git lfs pull` replaces by the file"
    return ""


def check_sha256(location: str, expected: str, got: str) -> None:
    """Compare checksums.

    Raises:
        SourceError: they differ; `location` is named.
    """
    if got != expected:
        raise SourceError(
            f"{location}: has the wrong checksum, SHA-256 {got} (expected {expected}), so it is damaged or another "
            "file; get it again or, if it is the file that you want, set its checksum as data.sha256 in params.yaml"
        )


def write_content(found: Path, file: RawFile, target: Path, location: str) -> None:
    """Verify a file and write its content, decompressed if it is published so, to `target`.

    Raises:
        SourceError: the file is damaged or has another checksum; `location` is named.
        OSError: a file can't be read or written.
    """
    if file.published_sha256 is not None:
        check_sha256(location, file.published_sha256, sha256_of_file(found))
    digest = hashlib.sha256()
    # By content, not by name: a folder may hold either, and some servers decompress .gz files.
    is_gzip = file.is_compressed and head_of(found).startswith(_GZIP_MAGIC)
    with found.open("rb") as content, path_in_errors(target), target.open("wb") as out:
        for chunk in _decompressed(content, location) if is_gzip else _chunks(content):
            digest.update(chunk)
            out.write(chunk)
    if file.sha256 is not None:
        if digest.hexdigest() != file.sha256 and (text := describe_text(head_of(found))):
            raise SourceError(f"{location}: is {text}; get the file itself")
        check_sha256(f"{location}, decompressed" if is_gzip else location, file.sha256, digest.hexdigest())
    console.print(f"{file.name}: taken from {location}")


def _chunks(content: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    while chunk := content.read(_CHUNK):
        yield chunk


def _decompressed(content: BinaryIO, location: str) -> Iterator[bytes]:
    size = 0
    try:
        for chunk in _chunks(gzip.GzipFile(fileobj=content)):
            size += len(chunk)
            if size > _DECOMPRESSED_LIMIT:
                raise SourceError(
                    f"{location}: is not the right file: decompressed, it has more than {_DECOMPRESSED_LIMIT:,} bytes; "
                    "get it again"
                )
            yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"{location}: is truncated or damaged ({error}); get it again") from error
