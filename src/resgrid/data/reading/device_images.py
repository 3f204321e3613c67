"""Images as arrays in memory on the computing device, which crops, flips and normalizes a whole batch at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar, NoReturn, Self

import numpy as np
import torch
from torch import Tensor

from resgrid.config.augment import AugmentConfig
from resgrid.data.reading.batches import Batch, BatchPlan, EvaluationLoader, TrainLoader
from resgrid.hardware import check_memory


class DeviceImages:
    """A split's images as uint8 on a device (see `resgrid.data.reading.images.Images`).

    Args:
        images: uint8 (N, C, H, W).
        labels: int64 (N,).
        mean: subtracted from pixels scaled to [0, 1]: the mean image (C, H, W) or one value per channel (C, 1, 1).
        std: divisor (C, 1, 1) after the subtraction, or None.
    """

    # 500 images keep a GPU busy; 64 fit a CPU's caches, where ResNets are 1.3 to 1.6 times as fast as with 1000.
    VALIDATION_BATCH: ClassVar[Mapping[str, int]] = {"gpu": 500, "cpu": 64}

    def __init__(self, images: np.ndarray, labels: np.ndarray, mean: np.ndarray, std: np.ndarray | None) -> None:
        channels, height, width = images.shape[1:]
        self.shape = (channels, height, width)
        # Channels last: a crop is one gather of whole pixels, and convolutions are faster in this layout.
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
        """Labels of all images: int64 (N,)."""
        return self._labels

    def pixels(self, indices: Tensor) -> np.ndarray:
        """Return images without normalization: uint8 (b, C, H, W); indices (b,)."""
        return self._images[indices.to(self.device)].permute(0, 3, 1, 2).cpu().numpy()

    def to(self, device: torch.device) -> Self:
        """Move to a device, in place.

        Raises:
            ValueError: the images don't fit into the GPU's memory.
        """
        if self.device != device:
            check_memory(self._images.nbytes, device)
        for name in ("_images", "_labels", "_mean", "_scale", "_rows", "_columns"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def plain(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return normalized images (b, C, H, W), float32 in channels-last layout, and labels (b,).

        Args:
            batch: indices (b,).
        """
        indices = batch.to(self.device)
        pixels = self._images[indices].float() / 255.0
        return ((pixels - self._mean) * self._scale).permute(0, 3, 1, 2), self._labels[indices]

    def augmented(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return normalized crops (b, C, H, W), float32 in channels-last layout, and labels (b,).

        As in the paper (section 4.2), the mean image is subtracted before the padding: after normalization, pixels
        outside the image are zero.
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
        """Return a rank's batches as indices and crops; the arguments are those of `TrainLoader` and `BatchPlan`.

        Raises:
            ValueError: the batch size is not a multiple of the number of ranks, or `augment` is for images in files.
        """
        if augment.crop is not None or augment.lighting:
            raise ValueError("augment.crop, augment.lighting: need data.storage 'files'; set them to null and 0")
        plan = BatchPlan(len(self), batch_size, seed, augment.pad, augment.flip)
        plan.batch(0, rank, world_size)  # raises if the batch does not divide evenly
        return TrainLoader(plan, max_steps, first_step, rank, world_size)

    def evaluation_loader(self, batch_size: int, rank: int = 0, world_size: int = 1) -> EvaluationLoader:
        """Return the indices of a rank's images; all ranks together use each image once."""
        return EvaluationLoader(len(self), batch_size, rank, world_size)

    def ten_crops(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:  # noqa: ARG002 - arrays have no crops
        """Raise: arrays have a single view.

        Raises:
            ValueError: always.
        """
        _refuse_views("ten_crop")

    def whole_images(self, scales: Sequence[int], batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:  # noqa: ARG002
        """Raise: arrays have a single view.

        Raises:
            ValueError: always.
        """
        _refuse_views("multi_scale")


def _refuse_views(views: str) -> NoReturn:
    raise ValueError(f"evaluate.views: {views!r}: needs data.storage 'files'; set it to 'single'")
