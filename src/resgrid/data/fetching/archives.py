"""Archives of files: read names and contents without unpacking to disk, and refuse unsafe archives."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, Self, cast

from resgrid.data.fetching.content import describe_text, head_of, quoted

_MEMBER_LIMIT = 1 << 28  # bytes of one file in an archive; CIFAR-100's training file has 155 million
_HEADER_LIMIT = 1 << 16  # bytes of a tar's extended header, which holds a name and numbers
_UNPACKED_LIMIT = 1 << 30  # bytes that any archive may unpack to
_UNPACKED_RATIO = 100  # beyond that, how many times its own size: image files hardly shrink in an archive
_CHUNK = 1 << 20
_EXTENDED_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


class ArchiveError(ValueError):
    """An archive is damaged, unsafe, or not an archive."""


class Member(NamedTuple):
    """An entry of an archive.

    Attributes:
        name: relative path; that of a folder ends in `/`.
        size: in bytes, after decompression.
        read: returns a file's content until the next member is asked for.
    """

    name: str
    size: int
    read: Callable[[], bytes]


def members(path: Path, location: str | Path = "") -> Iterator[Member]:
    """Yield the files and folders of an archive in its order. Nothing is written to disk.

    Names are relative and use `/`, also in zips of Windows tools that write `\\`. Names that are not UTF-8 contain
    surrogates.

    Args:
        location: where the archive comes from, for messages; its path by default.

    Raises:
        ArchiveError: the archive is damaged, contains links, devices or names outside the archive, or unpacks to more
            than `_UNPACKED_LIMIT` bytes and `_UNPACKED_RATIO` times its size.
        OSError: the archive can't be read.
    """
    location = location or path
    limit = max(_UNPACKED_LIMIT, _UNPACKED_RATIO * path.stat().st_size)
    unpacked = 0
    try:
        for member in _zip_members(path, location) if _is_zip(path) else _tar_members(path, location, limit):
            _refuse_unsafe(location, member.name)
            unpacked += member.size
            if member.size > _MEMBER_LIMIT or unpacked > limit:
                raise ArchiveError(
                    f"{location}: {quoted(member.name)}: unpacks to {unpacked:,} bytes so far, more than is allowed; "
                    "repack the archive without this file"
                )
            is_folder = member.name.endswith("/")
            name = "/".join(PurePosixPath(member.name).parts)
            yield member._replace(name=f"{name}/" if is_folder and name else name)
    except ArchiveError:
        raise
    except Exception as error:  # a damaged archive can raise anything
        if _is_of_the_disk(error):
            raise
        what = describe_text(head_of(path)) or f"truncated or damaged ({error or type(error).__name__})"
        raise ArchiveError(f"{location}: is {what}; replace it with an intact archive") from error


def _is_zip(path: Path) -> bool:
    # By content as well: an unfinished download has another name.
    return path.suffix.lower() == ".zip" or head_of(path).startswith(b"PK\x03\x04")


def read_members(path: Path, wanted: Callable[[str], bool], location: str | Path = "") -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of the wanted files of an archive; see `members`."""
    for member in members(path, location):
        if not member.name.endswith("/") and wanted(member.name):
            yield member.name, _read(location or path, member)


def _is_of_the_disk(error: Exception) -> bool:
    # Decompressors raise OSError without a number, and damaged offsets lead to an invalid seek.
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def _read(location: str | Path, member: Member) -> bytes:
    try:
        return member.read()
    except Exception as error:  # a damaged archive can raise anything
        if _is_of_the_disk(error):
            raise
        raise ArchiveError(
            f"{location}: {quoted(member.name)}: is truncated or damaged ({error or type(error).__name__}); "
            "replace it with an intact archive"
        ) from error


def _refuse_unsafe(location: str | Path, name: str) -> None:
    if ".." in PurePosixPath(name).parts or name.startswith("/"):
        raise ArchiveError(f"{location}: {quoted(name)}: leads out of the archive; repack it with relative names")
    if "\\" in name:
        raise ArchiveError(f"{location}: {quoted(name)}: contains a backslash; rename the file")


class _StrictTarInfo(tarfile.TarInfo):
    """A header that is checked: tarfile takes a damaged header, or a missing end mark, for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            info = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise  # the end mark
            raise tarfile.ReadError(f"damaged header: {error}") from error
        if info.type in _EXTENDED_HEADERS and info.size > _HEADER_LIMIT:
            raise tarfile.ReadError(f"an extended header of {info.size:,} bytes")  # tarfile reads it into memory
        return info


class _Bounded(BufferedIOBase):
    """A decompressed stream that ends with an error where it exceeds a limit, whatever its headers announce."""

    def __init__(self, stream: BinaryIO, limit: int) -> None:
        self._stream, self._limit = stream, limit

    def read(self, size: int | None = -1, /) -> bytes:
        content = self._stream.read(-1 if size is None else size)
        if self._stream.tell() > self._limit:
            raise tarfile.ReadError(f"more than {self._limit:,} bytes after decompression")
        return content

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


def _decompressed(path: Path) -> BinaryIO:
    magic = head_of(path)
    if magic.startswith(b"\x1f\x8b"):
        return cast("BinaryIO", gzip.open(path))
    if magic.startswith(b"BZh"):
        return cast("BinaryIO", bz2.open(path))
    if magic.startswith(b"\xfd7zXZ\x00"):
        return cast("BinaryIO", lzma.open(path))
    return path.open("rb")


def _tar_members(path: Path, location: str | Path, limit: int) -> Iterator[Member]:
    with _decompressed(path) as stream:
        bounded = cast("BinaryIO", _Bounded(stream, limit))
        with tarfile.open(fileobj=bounded, mode="r:", tarinfo=_StrictTarInfo, encoding="utf-8") as archive:
            while (info := archive.next()) is not None:
                if not (info.isreg() or info.isdir()) or info.issparse():
                    raise ArchiveError(
                        f"{location}: {quoted(info.name)}: is a link, device or sparse file; repack without it"
                    )
                content = archive.extractfile(info)
                yield Member(info.name, info.size, content.read) if content else Member(info.name + "/", 0, bytes)
                archive.members = []  # pyright: ignore[reportAttributeAccessIssue] (it would grow with every entry)
        while bounded.read(_CHUNK):
            pass  # the checksum of the compressed data is at their end


def _zip_members(path: Path, location: str | Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if stat.S_ISLNK(info.external_attr >> 16):
                raise ArchiveError(f"{location}: {quoted(info.filename)}: is a link; repack without it")
            yield Member(_zip_name(info), info.file_size, partial(archive.read, info))


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Decode the name of a zip's entry as UTF-8, also where the archive doesn't say so, and write `/` for `\\`."""
    name = info.filename
    if not info.flag_bits & 0x800:  # not declared as UTF-8, so decoded as cp437
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeEncodeError:
            pass  # from the Unicode Path extra field
        except UnicodeDecodeError:
            name = name.encode("cp437").decode("utf-8", "surrogateescape")
    return name.replace("\\", "/")
