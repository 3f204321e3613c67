"""A folder of images, `<class>/<image>`, with the transforms of pretrained weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from resgrid.data.reading.file_images import decoded
from resgrid.data.reading.pixels import read_rgb

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm")


class ImageFolder:
    """The images of a folder that has a folder for each class, in the alphabetical order of classes and files.

    Args:
        root: the folder; other files in it and in its class folders are ignored.
        transform: from an image to float32 (C, H, W).
        batch_size: images in a batch.
        workers: processes that decode; 0 for none.

    Attributes:
        classes: names of the class folders.
        labels: int64 (N,).

    Raises:
        ValueError: there is no such folder, or it has no images.
    """

    def __init__(self, root: Path, transform: Callable[[Any], Tensor], batch_size: int, workers: int) -> None:
        self.classes = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
        files = [
            (path, label)
            for label, name in enumerate(self.classes)
            for path in sorted((root / name).iterdir())
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()
        ]
        if not files:
            raise ValueError(f"data: {root}: contains no images; use a folder with a folder of images for each class")
        self.labels = torch.tensor([label for _, label in files])
        paths, starts = [path for path, _ in files], range(0, len(files), batch_size)
        self._batches = _Batches([paths[start : start + batch_size] for start in starts], transform)
        self._workers = workers

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Tensor]:
        """Yield the transformed images in batches, (b, C, H, W).

        Raises:
            ValueError: a file is not an image that the project reads.
        """
        return decoded(self._batches, range(len(self._batches)), self._workers)


class _Batches(Dataset["Tensor | ValueError"]):
    """Batches by number; an error is returned, so that workers pass it on as it is."""

    def __init__(self, paths: list[list[Path]], transform: Callable[[Any], Tensor]) -> None:
        self._paths, self._transform = paths, transform

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> Tensor | ValueError:
        try:
            return torch.stack([self._read(path) for path in self._paths[number]])
        except ValueError as error:
            return error

    def _read(self, path: Path) -> Tensor:
        try:
            return self._transform(read_rgb(path.read_bytes()))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: not readable as an image: {error}; remove or replace the file") from error
