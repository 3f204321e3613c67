"""The files of `data/raw` that a configuration asks for, and the kinds of `data.source`."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from resgrid.config.data import DataConfig
from resgrid.datasets import DATASETS, IMAGEFOLDER, RawFile

ARCHIVE_EXTENSIONS = (".tar.gz", ".tgz", ".tar", ".zip")
INDEX_NAME = "index.csv"
SOURCE_VARIABLE = "RESGRID_DATA_SOURCE"


def raw_files(config: DataConfig) -> tuple[RawFile, ...]:
    """Return the files of `data/raw`, with the checksums of `data.sha256` in place of the published ones.

    With storage `files`, the index of the image files is last, after the archive (if any) that contains the images.

    Raises:
        ValueError: `data.sha256` names a file that the data set doesn't have, or `data.source` of an `imagefolder`
            is a URL that doesn't end in an archive's extension.
    """
    files = _image_files(config) if config.name == IMAGEFOLDER else DATASETS[config.name].files
    allowed = [name for file in files for name in file.checksum_names]
    for name in config.sha256:
        if name not in allowed:
            raise ValueError(f"data.sha256: {name!r}: is not a file of {config.name}; use {', '.join(allowed)}")
    return tuple(_with_given_checksums(file, config.sha256) for file in files)


def label_of(config: DataConfig) -> str:
    """Return the data's name in the report: `data.label`, the usual name, or the stem of an image archive."""
    if config.label is not None:
        return config.label
    if config.name != IMAGEFOLDER:
        return DATASETS[config.name].label
    name = source_name(str(config.source))
    return name[: len(name) - len(archive_extension(name))]


def is_url(source: str) -> bool:
    """Return whether a source is on the web rather than on this machine.

    Raises:
        ValueError: the URL's scheme is neither http nor https.
    """
    scheme = urlsplit(source).scheme
    if "://" in source and scheme not in ("http", "https"):
        raise ValueError(f"data.source: {source!r}: has another scheme than http or https; use these or a local path")
    return "://" in source


def with_credentials(source: str) -> str:
    """Return the URL of the environment variable RESGRID_DATA_SOURCE if it is `source` with credentials, else `source`.

    So a password or a signed query stays out of params.yaml and of everything that is made from it.
    """
    given = os.environ.get(SOURCE_VARIABLE, "")
    is_same = is_url(source) and is_url(given) and _bare(given) == _bare(source)
    return given if is_same else source


def _bare(url: str) -> tuple[str, str | None, int | None, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port, parts.path


def source_name(source: str) -> str:
    """Return the last part of a URL or a path."""
    return PurePosixPath(unquote(urlsplit(source).path)).name if is_url(source) else Path(source).name


def archive_extension(name: str) -> str:
    """Return the extension that names the kind of archive, or an empty string."""
    return next((extension for extension in ARCHIVE_EXTENSIONS if name.lower().endswith(extension)), "")


def _image_files(config: DataConfig) -> tuple[RawFile, ...]:
    source = str(config.source)
    archive = _image_archive(source)
    if config.storage == "arrays":
        return (archive,)
    index = RawFile(INDEX_NAME, INDEX_NAME, None)
    return (archive, index) if archive_extension(source_name(source)) else (index,)


def _image_archive(source: str) -> RawFile:
    name = source_name(source)
    extension = archive_extension(name)
    if extension:
        return RawFile(f"images{extension}", name, None)
    if is_url(source):
        raise ValueError(
            f"data.source: {source!r}: is not an archive; use a URL that ends in {', '.join(ARCHIVE_EXTENSIONS)}"
        )
    return RawFile("images.tar", "images.tar", None)  # a folder, which `fetch` packs


def _with_given_checksums(file: RawFile, given: dict[str, str]) -> RawFile:
    if not given.keys() & set(file.checksum_names):
        return file
    if not file.is_compressed:
        return replace(file, sha256=given[file.published_name])
    return replace(file, sha256=given.get(file.name), published_sha256=given.get(file.published_name))
