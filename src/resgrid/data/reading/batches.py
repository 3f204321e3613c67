"""Batches as a pure function of (seed, step): which images a step uses, and how each image is cropped and flipped.

A resumed run, or a run on more devices, uses the same images in the same steps. All random numbers are drawn for the
global batch, and each rank takes its slice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# Second word of a generator's key: what its random numbers are for.
_ORDER, _AUGMENTATION = 0, 1


class Batch(NamedTuple):
    """One rank's part of a global batch of images in arrays, without their pixels.

    Attributes:
        indices: int64 (b,), indices of training images.
        offsets: int64 (b, 2), row and column of each crop's first pixel in the image, from -pad to +pad.
        flips: bool (b,), whether each crop is mirrored.
    """

    indices: Tensor
    offsets: Tensor
    flips: Tensor


class FileBatch(NamedTuple):
    """One rank's part of a global batch of images in files, before the files are read.

    Attributes:
        indices: int64 (b,), indices of training images.
        crops: float64 (b, draws), uniform in [0, 1); they choose each crop once the image's size is known.
        flips: bool (b,), whether each crop is mirrored.
        lighting: float64 (b, 3), standard normal: weights of the colors' principal components.
    """

    indices: Tensor
    crops: Tensor
    flips: Tensor
    lighting: Tensor


class DecodedBatch(NamedTuple):
    """Decoded images of one size, as worker processes return them.

    Attributes:
        pixels: uint8 (b, H, W, 3).
        labels: int64 (b,).
        shifts: float32 (b, 3), added to the colors of pixels scaled to [0, 1].
    """

    pixels: Tensor
    labels: Tensor
    shifts: Tensor


@dataclass(frozen=True)
class _Plan:
    """The order of the images: a new random order in each epoch.

    A batch may begin in one epoch and end in the next, so every batch is full and every epoch uses each image once.

    Attributes:
        num_images: size of the training split.
        batch_size: images in a global batch.
        seed: the cell's seed.
    """

    num_images: int
    batch_size: int
    seed: int

    def _indices(self, step: int) -> Tensor:
        """Return the image indices of a step (counted from 0): int64 (B,)."""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, positions_in_epoch = np.divmod(positions, self.num_images)
        indices = np.empty(self.batch_size, dtype=np.int64)
        for epoch in range(epochs[0], epochs[-1] + 1):
            inside = epochs == epoch
            indices[inside] = _order(self.seed, epoch, self.num_images)[positions_in_epoch[inside]]
        return torch.from_numpy(indices)

    def _augmentation(self, step: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, _AUGMENTATION, step))

    def _slice_of(self, rank: int, world_size: int) -> slice:
        if self.batch_size % world_size:
            raise ValueError(
                f"train.batch_size: {self.batch_size}: does not divide evenly over {world_size} devices; "
                f"choose a multiple of {world_size}"
            )
        size = self.batch_size // world_size
        return slice(rank * size, (rank + 1) * size)


@dataclass(frozen=True)
class BatchPlan(_Plan):
    """All training batches of images in arrays.

    Attributes:
        pad: largest shift of a crop, in pixels.
        flip: whether crops are mirrored at random.
    """

    pad: int
    flip: bool

    def global_batch(self, step: int) -> Batch:
        """Return the batch of all ranks in a step, counted from 0."""
        generator = self._augmentation(step)
        offsets = generator.integers(-self.pad, self.pad + 1, size=(self.batch_size, 2))
        flips = generator.integers(0, 2 if self.flip else 1, size=self.batch_size)
        return Batch(self._indices(step), torch.from_numpy(offsets), torch.from_numpy(flips).bool())

    def batch(self, step: int, rank: int, world_size: int) -> Batch:
        """Return a rank's equal part of the step's global batch.

        Raises:
            ValueError: the batch size is not a multiple of the number of ranks.
        """
        mine = self._slice_of(rank, world_size)
        return Batch(*(part[mine] for part in self.global_batch(step)))


@dataclass(frozen=True)
class FilePlan(_Plan):
    """All training batches of images in files.

    Attributes:
        draws: number of uniform random numbers for each crop.
        flip: whether crops are mirrored at random.
    """

    draws: int
    flip: bool

    def global_batch(self, step: int) -> FileBatch:
        """Return the batch of all ranks in a step, counted from 0."""
        generator = self._augmentation(step)
        crops = generator.random((self.batch_size, self.draws))
        flips = generator.integers(0, 2 if self.flip else 1, size=self.batch_size)
        lighting = generator.standard_normal((self.batch_size, 3))
        return FileBatch(
            self._indices(step), torch.from_numpy(crops), torch.from_numpy(flips).bool(), torch.from_numpy(lighting)
        )

    def batch(self, step: int, rank: int, world_size: int) -> FileBatch:
        """Return a rank's equal part of the step's global batch.

        Raises:
            ValueError: the batch size is not a multiple of the number of ranks.
        """
        mine = self._slice_of(rank, world_size)
        return FileBatch(*(part[mine] for part in self.global_batch(step)))


# A batch may span two epochs, so the last two orders are kept, whatever the size of the data.
@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, num_images: int) -> np.ndarray:
    return np.random.default_rng((seed, _ORDER, epoch)).permutation(num_images)


class TrainLoader:
    """Yields a rank's batches from the current step to the last step.

    Args:
        plan: the training's batches.
        max_steps: steps of the whole training; also the loader's length, so that Lightning counts a single epoch.
        first_step: returns the number of completed steps; called when the iteration begins, after a resume.
        rank: index of this process.
        world_size: number of processes.
    """

    def __init__(
        self, plan: BatchPlan, max_steps: int, first_step: Callable[[], int], rank: int, world_size: int
    ) -> None:
        self.plan, self.max_steps, self.first_step = plan, max_steps, first_step
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        return self.max_steps

    def __iter__(self) -> Iterator[Batch]:
        for step in range(self.first_step(), self.max_steps):
            yield self.plan.batch(step, self.rank, self.world_size)


class EvaluationLoader:
    """Yields the indices of a rank's images, int64 (b,), so that all ranks together use each image once.

    Shares may be uneven: of 101 images, two ranks get 51 and 50. A rank without images yields nothing.
    """

    def __init__(self, num_images: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.mine = torch.arange(rank, num_images, world_size)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.mine) / self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        yield from self.mine.split(self.batch_size) if len(self.mine) else ()
