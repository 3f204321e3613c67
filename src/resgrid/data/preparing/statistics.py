"""Statistics of the training images, from exact sums."""

from __future__ import annotations

import math
from typing import Self

import numpy as np


class Statistics:
    """Sums over the training images in whole numbers: exact, so the order of blocks doesn't matter."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._count = 0
        self._sum = np.zeros(shape, np.int64)
        self._sum_of_squares = np.zeros(shape[0], np.int64)

    def add(self, images: np.ndarray) -> None:
        """Add uint8 images (N, C, H, W)."""
        self._count += len(images)
        self._sum += images.sum(axis=0, dtype=np.int64)
        self._sum_of_squares += np.square(images, dtype=np.uint16).sum(axis=(0, 2, 3), dtype=np.int64)

    @property
    def mean_image(self) -> np.ndarray:
        """Mean image, float64 (C, H, W), scaled to [0, 1]."""
        return self._sum / (255 * self._count)

    @property
    def channel_mean(self) -> list[float]:
        """Mean of all pixels of a channel, scaled to [0, 1]."""
        return [total / (255 * self._values) for total in self._channel_sums]

    @property
    def channel_std(self) -> list[float]:
        """Standard deviation of all pixels of a channel, scaled to [0, 1]; 0 for a constant channel."""
        return [
            math.sqrt(self._values * squares - total**2) / (255 * self._values)
            for total, squares in zip(self._channel_sums, self._sum_of_squares.tolist(), strict=True)
        ]

    @property
    def notes(self) -> list[str]:
        """Note on constant channels, which normalization doesn't scale."""
        constant = [str(channel) for channel, std in enumerate(self.channel_std) if std == 0]
        return [f"constant channels, not scaled by normalization: {', '.join(constant)}"] if constant else []

    @property
    def _values(self) -> int:
        return self._count * self._sum[0].size

    @property
    def _channel_sums(self) -> list[int]:
        # Python's numbers don't overflow when they are squared.
        return self._sum.sum(axis=(1, 2)).tolist()


class ColorStatistics(Statistics):
    """Statistics with the covariance of the colors, which can be merged over processes."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__(shape)
        self._products = np.zeros((shape[0], shape[0]), np.int64)

    def add(self, images: np.ndarray) -> None:
        """Add uint8 images (N, C, H, W)."""
        super().add(images)
        for image in images:
            # float64: matrix products are fast, and exact for whole numbers far below 2**53.
            values = image.reshape(len(image), -1).astype(np.float64)
            self._products += (values @ values.T).astype(np.int64)

    def merge(self, other: Self) -> None:
        """Add the sums of another process."""
        self._count += other._count
        self._sum += other._sum
        self._sum_of_squares += other._sum_of_squares
        self._products += other._products

    @property
    def channel_covariance(self) -> list[list[float]]:
        """Covariance (C, C) of all pixels' colors, scaled to [0, 1]."""
        sums, scale = self._channel_sums, (255 * self._values) ** 2
        return [
            [(self._values * product - sums[row] * sums[column]) / scale for column, product in enumerate(products)]
            for row, products in enumerate(self._products.tolist())
        ]
