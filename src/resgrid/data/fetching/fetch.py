"""Bring the raw files of a data set to `data/raw`: find or download them, verify them, and land them whole."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from resgrid.artifacts.files import RAW, path_in_errors, sha256_of_file
from resgrid.config.data import DataConfig
from resgrid.data.fetching.atomic_folder import atomic_folder, folder_lock
from resgrid.data.fetching.download import SourceError, downloaded
from resgrid.data.fetching.index import IndexedFile, files_of_splits, index_folder, unpacked, write_index
from resgrid.data.fetching.published import ARCHIVE_EXTENSIONS, ARCHIVES_END, PUBLISHED, RawFile, is_address, raw_files
from resgrid.data.reading.image_location import keep_link, keep_unpacked
from resgrid.terminal import console

SOURCE_VARIABLE = "RESGRID_DATA_SOURCE"

_CHUNK = 1 << 20
_UNPACKED_LIMIT = 1 << 30  # bytes; the largest idx file has 47 million
_GZIP_MAGIC = b"\x1f\x8b"


def fetch(config: DataConfig, into: Path = RAW) -> None:
    """Fill `into` with the verified raw files of a data set, whatever the place they come from.

    MNIST and Fashion-MNIST are kept as unpacked idx files, digits as `digits.csv`, CIFAR as the published archive,
    image folders as `images.tar`, `images.tar.gz`, `images.tgz` or `images.zip`, or with storage `files` as an index
    alone (see index.py), whose making reads every file anew. Places, in this order: `data.source`;
    the environment variable RESGRID_DATA_SOURCE (an address or a folder); folders of installed packages; the
    published addresses. The first two are never left for another place. Unfinished downloads are kept under
    `state_folder()/downloads` and taken up again.

    Raises:
        SourceError: no place gives the right file: it is missing there, damaged, or has another checksum.
        ValueError: `data.source` or `data.sha256` can't be used.
        OSError: the folder is read-only, or the disk is full. Nothing is left in `into` then.
    """
    files = raw_files(config)
    with folder_lock(into):
        if config.storage == "arrays" and _is_complete(files, into):
            console.print(f"{into}: complete already, and the checksums hold", markup=False)
            return
        with atomic_folder(into) as partial:
            if config.storage == "files":
                _index_images(str(config.source), files, partial)
            elif config.name == "imagefolder":
                _take_images(str(config.source), files[0], partial)
            else:
                _take_published(config, files, partial)


def _is_complete(files: tuple[RawFile, ...], into: Path) -> bool:
    return (
        into.is_dir()
        and {path.name for path in into.iterdir()} == {file.name for file in files}
        and all(file.sha256 == sha256_of_file(into / file.name) for file in files)
    )


def _take_published(config: DataConfig, files: tuple[RawFile, ...], into: Path) -> None:
    for file in files:
        refusals: list[str] = []
        places = _places(config)
        for place in places:
            try:
                _take(file, place, into / file.name)
                break
            except SourceError as error:
                refusals.append(str(error))
                if place != places[-1]:
                    console.print(f"{error}; the next place is tried", style="yellow", markup=False, soft_wrap=True)
        else:
            raise SourceError("\n".join([*refusals, _what_to_do(file)]))


def _places(config: DataConfig) -> list[str]:
    published = PUBLISHED[config.name]
    # What comes with an installed package needs no mirror.
    mirror = os.environ.get(SOURCE_VARIABLE) if published.addresses else None
    given = config.source or mirror
    if given:
        return [given]
    folders = [str(folder) for folder in published.folders if folder.is_dir()]
    return [*folders, *published.addresses]


def _what_to_do(file: RawFile) -> str:
    return (
        f"{file.name} could not be had. Name a folder or a mirror that holds {file.packed} as data.source in "
        f"params.yaml or in the environment variable {SOURCE_VARIABLE}"
    )


def _take(file: RawFile, place: str, target: Path) -> None:
    if is_address(place):
        address = place if place.endswith(f"/{file.packed}") else f"{place.rstrip('/')}/{file.packed}"
        with downloaded(address) as found:
            _land(found, file, target, address)
    else:
        found = _find(file, Path(place).expanduser())
        _land(found, file, target, str(found))


def _find(file: RawFile, place: Path) -> Path:
    """The file in a local place: a folder, or the very file."""
    if place.is_file() and place.name in (file.packed, file.name):
        return place
    if not place.is_dir():
        kind = "is a file, not a folder" if place.exists() else "does not exist"
        raise SourceError(f"{place} {kind}; {file.packed} is looked for there")
    # Where the packed file's checksum is given, the unpacked one can't be verified.
    names = [file.packed] if file.packed_sha256 is not None else dict.fromkeys([file.packed, file.name])
    for name in names:
        if (place / name).is_file():
            return place / name
    raise SourceError(f"{place} holds no file {' or '.join(names)}")


def _land(found: Path, file: RawFile, target: Path, place: str) -> None:
    """Verify a file and write its (unpacked) content to `target`."""
    if file.packed_sha256 is not None:
        _check(place, file.packed_sha256, sha256_of_file(found))
    digest = hashlib.sha256()
    with _opened(found, file) as content, path_in_errors(target), target.open("wb") as out:
        for chunk in _unpacked(content, place) if file.is_packed else _chunks(content):
            digest.update(chunk)
            out.write(chunk)
    if file.sha256 is not None:
        _check(f"{place}, unpacked," if file.is_packed else place, file.sha256, digest.hexdigest())
    console.print(f"{file.name}: taken from {place}", markup=False, soft_wrap=True)


def _opened(found: Path, file: RawFile) -> BinaryIO | gzip.GzipFile:
    if file.is_packed:
        # By content, not by name: a folder may hold either, and some servers unpack .gz files on the way.
        with found.open("rb") as content:
            is_gzip = content.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        if is_gzip:
            return gzip.open(found)
    return found.open("rb")


def _chunks(content: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    while chunk := content.read(_CHUNK):
        yield chunk


def _unpacked(content: BinaryIO | gzip.GzipFile, place: str) -> Iterator[bytes]:
    size = 0
    try:
        for chunk in _chunks(content):
            size += len(chunk)
            if size > _UNPACKED_LIMIT:
                raise SourceError(f"{place} unpacks to more than {_UNPACKED_LIMIT} bytes, so it is not the right file")
            yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"{place} is truncated or damaged ({error}); fetch it anew") from error


def _check(what: str, expected: str, got: str) -> None:
    if got != expected:
        raise SourceError(
            f"{what} has the wrong checksum: SHA-256 {got}, expected {expected}. It is damaged or another file; "
            "fetch it anew, or, if this is the file that you want, give its checksum as data.sha256 in params.yaml"
        )


def _take_images(source: str, file: RawFile, into: Path) -> None:
    if is_address(source):
        _take_downloaded_images(source, file, into)
        return
    place = _local(source)
    if place.is_dir():
        _pack(place, file, into / file.name)
    elif place.name.endswith(ARCHIVE_EXTENSIONS):
        _land(place, file, into / file.name, str(place))
    else:
        raise SourceError(f"data.source: {source!r} is neither a folder nor an archive; {ARCHIVES_END}")


def _take_downloaded_images(address: str, file: RawFile, into: Path) -> None:
    with downloaded(address) as found:
        _demand_checksum(address, file, found)
        _land(found, file, into / file.name, address)


def _demand_checksum(address: str, file: RawFile, found: Path) -> None:
    if file.sha256 is None:
        # Not a SourceError: the download is kept, for the checksum may well be right.
        raise ValueError(
            f"{address}: an archive that is downloaded needs a checksum. What came has the SHA-256 "
            f"{sha256_of_file(found)}. Compare it with what the publisher says; if it is the same, write into "
            f"params.yaml, under data:\n  sha256: {{{file.packed}: {sha256_of_file(found)}}}\n"
            "The download is kept and needn't be repeated"
        )


def _index_images(source: str, files: tuple[RawFile, ...], into: Path) -> None:
    """Write the index of image files that stay where they are, or are unpacked to the state folder."""
    *archives, index = files
    if archives and is_address(source):
        with downloaded(source) as found:
            _demand_checksum(source, archives[0], found)
            _index_archive(found, archives[0], index, into, source)
    elif archives:
        _index_archive(_local(source), archives[0], index, into, source)
    else:
        folder = _image_folder(_local(source))
        keep_link(_write_index(index_folder(folder), index, into, str(folder)), folder)


def _index_archive(archive: Path, file: RawFile, index: RawFile, into: Path, place: str) -> None:
    if file.sha256 is not None:
        _check(place, file.sha256, sha256_of_file(archive))
    folder = unpacked(archive)
    try:
        keep_unpacked(_write_index(index_folder(folder), index, into, place), folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _write_index(images: list[IndexedFile], index: RawFile, into: Path, place: str) -> str:
    sha256 = write_index(into / index.name, images)
    if index.sha256 is not None:
        _check(f"the index of {place}", index.sha256, sha256)
    size = sum(image.bytes for image in images)
    console.print(
        f"{index.name}: {len(images):,} image files, {size / 1e9:.2f} GB, of {place}; SHA-256 {sha256}",
        markup=False,
        soft_wrap=True,
    )
    return sha256


def _pack(folder: Path, file: RawFile, target: Path) -> None:
    """Pack an image folder into a tar whose bytes depend on names and contents alone."""
    _image_folder(folder)
    paths = {path.relative_to(folder).as_posix(): path for path in files_of_splits(folder)}
    with path_in_errors(target), tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(paths):
            member = tarfile.TarInfo(name)
            member.size = paths[name].stat().st_size
            with paths[name].open("rb") as content:
                archive.addfile(member, content)
    if file.sha256 is not None:
        _check(f"{folder}, packed,", file.sha256, sha256_of_file(target))
    console.print(f"{file.name}: packed from {folder}", markup=False, soft_wrap=True)


def _local(source: str) -> Path:
    place = Path(source).expanduser()
    if not place.exists():
        raise SourceError(f"data.source: {source!r} does not exist (the working folder is {Path.cwd()})")
    return place


def _image_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise SourceError(f"data.source: '{folder}' is neither a folder nor an archive; {ARCHIVES_END}")
    if not (folder / "train").is_dir():
        raise SourceError(
            f"{folder} holds no folder train; needed are train/<class>/* and test/<class>/* or val/<class>/*"
        )
    return folder
