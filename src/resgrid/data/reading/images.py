"""The images of a split behind one interface, whether they are arrays in memory or files on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.config.augment import AugmentConfig
from resgrid.data.reading.device_images import DeviceImages
from resgrid.data.reading.file_images import FileImages
from resgrid.data.reading.image_location import images_folder
from resgrid.data.reading.normalization import Normalization, read_normalization
from resgrid.data.reading.store import ImageFiles, check_recorded, open_split


class Loader(Protocol):
    """Batches in order, and their number. A batch is what `augmented` or `plain` of the same images takes."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


class Images(Protocol):
    """A split of N images of `shape` (C, H, W) with their labels. Pixels are normalized on `device`.

    Attributes:
        VALIDATION_BATCH: images in a validation batch, by device type (`cpu`, `gpu`).
    """

    VALIDATION_BATCH: ClassVar[Mapping[str, int]]

    def __len__(self) -> int: ...

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image, or of its crop."""
        ...

    @property
    def device(self) -> torch.device: ...

    @property
    def labels(self) -> Tensor:
        """Labels of all images: int64 (N,)."""
        ...

    def to(self, device: torch.device) -> Self:
        """Move to a device, in place."""
        ...

    def pixels(self, indices: Tensor) -> np.ndarray:
        """Return images without normalization: uint8 (b, C, H, W); indices (b,)."""
        ...

    def plain(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return normalized images (b, C, H, W), float32 in channels-last layout, and labels (b,).

        Args:
            batch: a batch of `evaluation_loader`, or indices (b,).
        """
        ...

    def augmented(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Return normalized random crops (b, C, H, W), float32 in channels-last layout, and labels (b,).

        Args:
            batch: a batch of `training_loader`.
        """
        ...

    def training_loader(
        self,
        batch_size: int,
        seed: int,
        augment: AugmentConfig,
        max_steps: int,
        first_step: Callable[[], int],
        rank: int,
        world_size: int,
    ) -> Loader:
        """Return a rank's training batches; the arguments are those of `TrainLoader` and `BatchPlan`.

        Raises:
            ValueError: the batch size is not a multiple of `world_size`, or `augment` is for the other storage.
        """
        ...

    def evaluation_loader(self, batch_size: int, rank: int = 0, world_size: int = 1) -> Loader:
        """Return a rank's images in batches; all ranks together use each image once."""
        ...

    def ten_crops(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield ten normalized crops of every image, several at a time: indices (n,) and crops (n, C, H, W).

        Args:
            batch_size: images that are decoded at a time.

        Raises:
            ValueError: the images are arrays, which have a single view.
        """
        ...

    def whole_images(self, scales: Sequence[int], batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield every whole image and its mirror image at each scale, normalized: indices (n,) and (n, C, h, w).

        Args:
            scales: lengths of the shorter side, in pixels.
            batch_size: images that are decoded at a time.

        Raises:
            ValueError: the images are arrays, which have a single view.
        """
        ...


def load_images(
    paths: PreparedPaths,
    split: str,
    normalize: Literal["per_pixel_mean", "channel"],
    card: DatasetCard,
    workers: int = 0,
) -> Images:
    """Open a prepared split, to be normalized with the statistics of the training part.

    Args:
        workers: processes that decode image files; arrays need none.

    Raises:
        ValueError: the prepared data are missing, damaged or inconsistent, or the image files are missing.
    """
    return open_images(paths, split, read_normalization(paths, normalize, card), card, workers)


def open_images(
    paths: PreparedPaths, split: str, normalization: Normalization, card: DatasetCard, workers: int = 0
) -> Images:
    """Open a prepared split, to be normalized as given.

    Args:
        workers: processes that decode image files; arrays need none.

    Raises:
        ValueError: the prepared data are missing, damaged or inconsistent, or the image files are missing.
    """
    mean, std = normalization.mean, normalization.std
    check_recorded(paths, card, f"{split}/")
    if card.storage == "arrays":
        arrays = open_split(paths, split)
        return DeviceImages(arrays.images, arrays.labels, mean, std)
    assert card.images is not None
    assert card.shorter_side is not None
    files = ImageFiles(paths, split, images_folder(card.images))
    return FileImages(files, card.shorter_side, card.shape[1], mean, std, np.array(card.channel_covariance), workers)
