"""Images in memory on the computing device: cropped, flipped and normalized there, a whole batch at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.config.augment import AugmentConfig
from resgrid.data.reading.batches import Batch, BatchPlan, EvaluationLoader, TrainLoader
from resgrid.data.reading.file_images import FileImages
from resgrid.data.reading.image_location import images_folder
from resgrid.data.reading.normalization import read_normalization
from resgrid.data.reading.store import ImageFiles, open_split


class DeviceImages:
    """A split's images as uint8 on a device, and the batches made of them.

    Args:
        images: uint8 (N, C, H, W).
        labels: int64 (N,).
        mean: subtracted from pixels scaled to [0, 1]: the mean image (C, H, W) or one value per channel (C, 1, 1).
        std: (C, 1, 1) to divide by afterwards, or None.
    """

    # Enough to keep a GPU busy, and what a CPU's caches hold: ResNets are a third to two thirds faster than with 1000.
    VALIDATION_BATCH: ClassVar = {"gpu": 500, "cpu": 64}

    def __init__(self, images: np.ndarray, labels: np.ndarray, mean: np.ndarray, std: np.ndarray | None) -> None:
        channels, height, width = images.shape[1:]
        # Channels last: a crop is one gather of whole pixels, and the result has the layout that convolutions want.
        self._images = torch.from_numpy(images.transpose(0, 2, 3, 1).copy())
        self._labels = torch.from_numpy(labels.copy())
        full_mean = np.broadcast_to(mean, (channels, height, width)).transpose(1, 2, 0)
        self._mean = torch.from_numpy(np.array(full_mean, dtype=np.float32, order="C"))
        scale = np.full(channels, 1.0) if std is None else 1.0 / std.reshape(channels)
        self._scale = torch.from_numpy(scale.astype(np.float32))
        self._rows, self._columns = torch.arange(height), torch.arange(width)

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def device(self) -> torch.device:
        return self._images.device

    @property
    def labels(self) -> Tensor:
        """int64 (N,)."""
        return self._labels

    def pixels(self, indices: Tensor) -> np.ndarray:
        """Images as they are, uint8 (b, C, H, W); indices (b,)."""
        return self._images[indices.to(self.device)].permute(0, 3, 1, 2).cpu().numpy()

    def to(self, device: torch.device) -> Self:
        for name in ("_images", "_labels", "_mean", "_scale", "_rows", "_columns"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def plain(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images (b, C, H, W), float32 in channels-last layout, and labels (b,); indices (b,)."""
        indices = indices.to(self.device)
        pixels = self._images[indices].float() / 255.0
        return ((pixels - self._mean) * self._scale).permute(0, 3, 1, 2), self._labels[indices]

    def augmented(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Normalised crops (b, C, H, W), float32 in channels-last layout, and labels (b,).

        As in the paper, the mean image is subtracted before the padding: what lies outside an image is zero after
        normalization.
        """
        height, width = len(self._rows), len(self._columns)
        columns = torch.where(batch.flips[:, None], width - 1 - self._columns, self._columns)
        rows = (self._rows + batch.offsets[:, 0:1])[:, :, None]  # (b, H, 1)
        columns = (columns + batch.offsets[:, 1:2])[:, None, :]  # (b, 1, W)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
        pixels = self._images[batch.indices[:, None, None], rows, columns].float() / 255.0  # (b, H, W, C)
        normalized = (pixels - self._mean[rows, columns]) * self._scale * inside[..., None]
        return normalized.permute(0, 3, 1, 2), self._labels[batch.indices]

    def training_loader(
        self,
        batch_size: int,
        seed: int,
        augment: AugmentConfig,
        max_steps: int,
        first_step: Callable[[], int],
        rank: int,
        world_size: int,
    ) -> TrainLoader:
        """A rank's batches, as indices and crops; arguments as of `TrainLoader`.

        Raises:
            ValueError: the batch doesn't divide evenly over the ranks, or the augmentation is for images in files.
        """
        if augment.crop is not None or augment.lighting:
            raise ValueError(
                "augment.crop, augment.lighting: are for data.storage 'files'; allowed here are null and 0"
            )
        plan = BatchPlan(len(self), batch_size, seed, augment.pad, augment.flip)
        plan.batch(0, rank, world_size)  # an uneven division fails here
        return TrainLoader(plan, max_steps, first_step, rank, world_size)

    def evaluation_loader(self, batch_size: int, rank: int = 0, world_size: int = 1) -> EvaluationLoader:
        """A rank's images, each image of the split once over all ranks, as indices."""
        return EvaluationLoader(len(self), batch_size, rank, world_size)


def load_images(
    paths: PreparedPaths,
    split: str,
    normalize: Literal["per_pixel_mean", "channel"],
    card: DatasetCard,
    workers: int = 0,
) -> DeviceImages | FileImages:
    """A prepared split, to be normalized as configured, with the statistics of the training part.

    Args:
        workers: processes that decode image files; arrays need none.

    Raises:
        OSError: the prepared data are missing.
        ValueError: they contradict themselves, or the image files are not there.
    """
    normalization = read_normalization(paths, normalize, card)
    mean, std = normalization.mean, normalization.std
    if card.storage == "arrays":
        arrays = open_split(paths, split)
        return DeviceImages(arrays.images, arrays.labels, mean, std)
    assert card.images is not None
    assert card.shorter_side is not None
    files = ImageFiles(paths, split, images_folder(card.images))
    return FileImages(files, card.shorter_side, card.shape[1], mean, std, np.array(card.channel_covariance), workers)
