"""Fetch the raw files of a data set to `data/raw`: find or download them, verify them, and write all or none."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

from resgrid.artifacts.atomic_folder import atomic_folder, folder_lock
from resgrid.artifacts.files import RAW, sha256_of_file
from resgrid.config.data import DataConfig
from resgrid.credentials import without_credentials
from resgrid.data.fetching.content import SourceError, write_content
from resgrid.data.fetching.download import downloaded
from resgrid.data.fetching.image_source import fetch_images
from resgrid.data.fetching.raw_files import SOURCE_VARIABLE, is_url, raw_files, with_credentials
from resgrid.data.fetching.source_state import keep_source_state
from resgrid.datasets import DATASETS, IMAGEFOLDER, Dataset, RawFile
from resgrid.terminal import console

_DOWNLOAD_LIMIT = 1 << 30  # bytes; CIFAR's archives have 170 million


def fetch(config: DataConfig, into: Path = RAW) -> None:
    """Fill `into` with the verified raw files of a data set, wherever they come from.

    MNIST and Fashion-MNIST are kept as decompressed idx files, digits as `digits.csv`, CIFAR as the published archive,
    image folders as `images.tar`, `images.tar.gz`, `images.tgz` or `images.zip`, or with storage `files` as an index
    only (see index.py), for which every file is read again. Locations, in this order: `data.source`; the environment
    variable RESGRID_DATA_SOURCE (a URL or a folder); folders of installed packages; the published URLs. If one of the
    first two is set, no other location is tried. Unfinished downloads are kept under `state_folder()/downloads`
    and resumed.

    Raises:
        SourceError: no location gives the right file: it is missing there, damaged, or has another checksum.
        ValueError: `data.source` or `data.sha256` can't be used.
        OSError: the folder is read-only, or the disk is full. Nothing is left in `into` then.
    """
    files = raw_files(config)
    with folder_lock(into):
        if config.storage == "arrays" and _is_complete(files, into):
            console.print(f"{into}: complete already, and the checksums match")
            return
        with atomic_folder(into) as partial:
            if config.name == IMAGEFOLDER:
                fetch_images(config, files, partial)
            else:
                _fetch_published(config, files, partial)
        keep_source_state(config)


def _is_complete(files: tuple[RawFile, ...], into: Path) -> bool:
    return (
        into.is_dir()
        and {path.name for path in into.iterdir()} == {file.name for file in files}
        and all(file.sha256 == sha256_of_file(into / file.name) for file in files)
    )


def _fetch_published(config: DataConfig, files: tuple[RawFile, ...], into: Path) -> None:
    locations = _locations(config)
    for file in files:
        refusals: list[str] = []
        for location in locations:
            try:
                _fetch_file(file, location, into / file.name)
                break
            except SourceError as error:
                refusals.append(str(error))
                if location != locations[-1]:
                    console.print(f"{error}; trying the next location", style="yellow")
        else:
            raise SourceError(
                "\n".join(
                    [
                        *refusals,
                        f"{file.name}: was not found; set data.source in params.yaml or the environment variable "
                        f"{SOURCE_VARIABLE} to a folder or a mirror that has {file.published_name}",
                    ]
                )
            )


def _locations(config: DataConfig) -> list[str]:
    dataset = DATASETS[config.name]
    if config.source:
        return [with_credentials(config.source)]
    # The files of an installed Python package need no mirror.
    if dataset.urls and (mirror := os.environ.get(SOURCE_VARIABLE)):
        return [mirror]
    return [*_installed_folders(dataset), *dataset.urls]


def _installed_folders(dataset: Dataset) -> list[str]:
    folders = [] if dataset.package_folder is None else [_package_folder(dataset.package_folder)]
    if dataset.system_folder is not None:
        folders.append(Path(dataset.system_folder))
    return [str(folder) for folder in folders if folder.is_dir()]


def _package_folder(folder: str) -> Path:
    package, _, below = folder.partition("/")
    spec = find_spec(package)  # without importing the package, which may take seconds
    if spec is None or spec.origin is None:
        raise ValueError(f"{package}: is not installed, but contains the data set; run `make setup`")
    return Path(spec.origin).parent / below


def _fetch_file(file: RawFile, location: str, target: Path) -> None:
    if is_url(location):
        head, question, query = location.partition("?")
        url = head if head.endswith(f"/{file.published_name}") else f"{head.rstrip('/')}/{file.published_name}"
        with downloaded(url + question + query, _DOWNLOAD_LIMIT) as found:
            write_content(found, file, target, without_credentials(url + question + query))
    else:
        found = _find(file, Path(location).expanduser())
        write_content(found, file, target, str(found))


def _find(file: RawFile, location: Path) -> Path:
    """Find a file in a local folder, or at the location itself. Its checksum decides whether it is the right one.

    Unpackers write other names, such as `train-images.idx3-ubyte`: signs other than letters and numbers don't count.
    """
    # If the published file's checksum is given, the decompressed file can't be verified.
    names = [file.published_name] if file.published_sha256 else list(dict.fromkeys([file.published_name, file.name]))
    plain = [_plain(name) for name in names]
    if location.is_file() and _plain(location.name) in plain:
        return location
    if not location.is_dir():
        problem = "is not a folder" if location.exists() else "does not exist"
        raise SourceError(f"{location}: {problem}; set a folder that contains {file.published_name}")
    found = {_plain(path.name): path for path in sorted(location.iterdir(), reverse=True) if path.is_file()}
    for name, key in zip(names, plain, strict=True):
        if (location / name).is_file():
            return location / name
        if key in found:
            return found[key]
    raise SourceError(
        f"{location}: contains no file {' or '.join(names)}; add it (an archive as it was published, not unpacked)"
    )


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()
