"""Decode the raw files of a data set by its format."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from resgrid.artifacts.files import sha256_of_file
from resgrid.config.data import DataConfig
from resgrid.data.fetching.raw_files import raw_files
from resgrid.data.preparing.decoded import Decoded
from resgrid.data.preparing.formats.cifar import CIFAR10, CIFAR100, read_cifar
from resgrid.data.preparing.formats.digits import read_digits
from resgrid.data.preparing.formats.idx import read_idx_files
from resgrid.data.preparing.formats.image_archive import read_image_archive
from resgrid.datasets import DATASETS, IMAGEFOLDER, Dataset, Format, RawFile

# By format: a function that reads a folder of raw files.
DECODERS: dict[Format, Callable[[Path, Dataset], Decoded]] = {
    "idx": read_idx_files,
    "cifar10": partial(read_cifar, layout=CIFAR10),
    "cifar100": partial(read_cifar, layout=CIFAR100),
    "digits": read_digits,
}


def decode(config: DataConfig, raw: Path) -> Decoded:
    """Read the raw files that `fetch` left in `raw`.

    Raises:
        ValueError: a file is missing, has another checksum, or has the wrong content; the message names it.
    """
    files = raw_files(config)
    for file in files:
        _verify(raw / file.name, file)
    if config.name == IMAGEFOLDER:
        return read_image_archive(raw / files[0].name, str(config.source), config.image_size)
    dataset = DATASETS[config.name]
    return DECODERS[dataset.format](raw, dataset)


def _verify(path: Path, file: RawFile) -> None:
    if not path.is_file():
        raise ValueError(f"{path}: is missing; run `dvc repro download`")
    if file.sha256 is not None and (got := sha256_of_file(path)) != file.sha256:
        raise ValueError(
            f"{path}: was changed after the download, SHA-256 {got} (expected {file.sha256}); "
            "delete it and run `dvc repro download`"
        )
