"""Images of the user's own, from a folder, an archive or a URL, to `data/raw`: an archive, or an index of files."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from resgrid.artifacts.files import path_in_errors, sha256_of_file
from resgrid.config.data import DataConfig
from resgrid.data.fetching.archives import members, read_members
from resgrid.data.fetching.content import SourceError, check_sha256, describe_text, head_of, write_content
from resgrid.data.fetching.download import downloaded
from resgrid.data.fetching.image_folder import image_names
from resgrid.data.fetching.index import IndexedFile, index_files, unpack_images, write_index
from resgrid.data.fetching.layout import Layout, is_in_a_split, read_layout
from resgrid.data.fetching.raw_files import ARCHIVE_EXTENSIONS, archive_extension, is_url, with_credentials
from resgrid.data.reading.image_location import keep_link, keep_unpacked
from resgrid.datasets import RawFile
from resgrid.terminal import console

_DOWNLOAD_LIMIT = 1 << 38  # bytes; ImageNet has 155 billion


def fetch_images(config: DataConfig, files: tuple[RawFile, ...], into: Path) -> None:
    """Write the raw files of an `imagefolder`: an archive or, with storage `files`, the index of its image files.

    The archive is read from end to end, so that `download` fails, not a later stage, if it is damaged.

    Raises:
        SourceError: there is no such source, or it has another checksum.
        ValueError: the source is damaged or unsafe, or its files are not in the layout.
        OSError: a file can't be read or written.
    """
    source = str(config.source)
    if is_url(source):
        with downloaded(with_credentials(source), _DOWNLOAD_LIMIT) as archive:
            _demand_checksum(source, files[0], archive)
            _take_archive(archive, files, into, source)
        return
    path = _local(source)
    if path.is_dir():
        _take_folder(path, config, files, into)
    else:
        _take_archive(path, files, into, str(path))


def _local(source: str) -> Path:
    path = Path(source).expanduser()
    if not path.exists():
        raise SourceError(f"data.source: {source!r}: does not exist in {Path.cwd()}; set a folder, an archive or a URL")
    if not path.is_dir() and not (path.is_file() and archive_extension(path.name)):
        raise SourceError(
            f"data.source: {source!r}: is neither a folder nor an archive; "
            f"use a file that ends in {', '.join(ARCHIVE_EXTENSIONS)}"
        )
    return path


def _demand_checksum(url: str, file: RawFile, archive: Path) -> None:
    if text := describe_text(head_of(archive)):
        raise SourceError(f"{url}: is {text}; set data.source to the URL of the archive")
    if file.sha256 is None:
        # Not a SourceError, which would delete the download: its checksum may well be right.
        sha256 = sha256_of_file(archive)
        raise ValueError(
            f"{url}: has no checksum in params.yaml, and its SHA-256 is {sha256}; compare it with the publisher's "
            f"and, if they are equal, write under data:\n  sha256: {{{file.published_name}: {sha256}}}\n"
            "The next run uses the file that is downloaded now"
        )


def _take_archive(archive: Path, files: tuple[RawFile, ...], into: Path, location: str) -> None:
    file = files[0]
    if file.sha256 is not None:
        check_sha256(location, file.sha256, sha256_of_file(archive))
    _print_notes(location, read_layout(location, (member.name for member in members(archive, location))))
    if len(files) == 1:
        for _ in read_members(archive, is_in_a_split, location):
            pass  # a damaged archive fails here, not in a later stage
        write_content(archive, file, into / file.name, location)
        return
    folder = unpack_images(archive, location)
    try:
        names = [path.relative_to(folder).as_posix() for path in folder.glob("*/*/*")]
        keep_unpacked(_write_index(index_files(folder, names), files[-1], into, location), folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _take_folder(folder: Path, config: DataConfig, files: tuple[RawFile, ...], into: Path) -> None:
    names = image_names(folder, config.follow_links)
    layout = read_layout(folder, names)
    _print_notes(str(folder), layout)
    if config.storage == "arrays":
        _pack(folder, names, files[0], into / files[0].name)
    else:
        images = (name for name in names if not name.endswith("/"))
        keep_link(_write_index(index_files(folder, images), files[-1], into, str(folder)), folder)


def _print_notes(location: str, layout: Layout) -> None:
    for note in layout.notes:
        console.print(f"{location}: {note}", style="yellow")


def _write_index(images: list[IndexedFile], index: RawFile, into: Path, location: str) -> str:
    sha256 = write_index(into / index.name, images)
    if index.sha256 is not None:
        check_sha256(f"the index of {location}", index.sha256, sha256)
    size = sum(image.bytes for image in images)
    console.print(f"{index.name}: {len(images):,} image files, {size / 1e9:.2f} GB, of {location}; SHA-256 {sha256}")
    return sha256


def _pack(folder: Path, names: list[str], file: RawFile, target: Path) -> None:
    """Pack an image folder into a tar whose bytes depend on names and contents only."""
    filled = {name.rpartition("/")[0] + "/" for name in names if not name.endswith("/")}
    empty_classes = {name for name in names if name.count("/") == 2 and name.endswith("/")} - filled
    with path_in_errors(target), tarfile.open(target, "w", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
        for name in sorted(name for name in names if not name.endswith("/") or name in empty_classes):
            member = tarfile.TarInfo(name)
            if name in empty_classes:
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
                continue
            with (folder / name).open("rb") as content:
                member.size = os.fstat(content.fileno()).st_size
                archive.addfile(member, content)
    if file.sha256 is not None:
        check_sha256(f"{folder}, packed", file.sha256, sha256_of_file(target))
    console.print(f"{file.name}: packed from {folder}")
