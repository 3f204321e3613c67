"""Batches as a pure function of (seed, step): which images a step sees, and how each of them is cropped and flipped.

A run that is resumed, or spread over more devices, sees the very same images in the same steps. Everything is drawn
for the global batch; a rank takes its slice of it.
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

# The second word of every generator's key: what is drawn from it.
_ORDER, _AUGMENTATION = 0, 1


class Batch(NamedTuple):
    """One rank's part of a global batch of B images, before any pixel is touched.

    Attributes:
        indices: int64 (b,), which training images.
        offsets: int64 (b, 2), where each crop begins (row, column), from -pad to +pad, relative to the image.
        flips: bool (b,), which crops are mirrored.
    """

    indices: Tensor
    offsets: Tensor
    flips: Tensor


class FileBatch(NamedTuple):
    """One rank's part of a global batch of B images that are still in their files.

    Attributes:
        indices: int64 (b,), which training images.
        crops: float64 (b, draws), uniform in [0, 1): where each crop lies, once the image's size is known.
        flips: bool (b,), which crops are mirrored.
        lighting: float64 (b, 3), standard normal: weights of the colors' principal components.
    """

    indices: Tensor
    crops: Tensor
    flips: Tensor
    lighting: Tensor


@dataclass(frozen=True)
class _Plan:
    """The order of the images. They come in a new random order in each epoch; a batch may begin in one epoch and end in
    the next, so that every batch is full and every epoch sees each image once.

    Attributes:
        num_images: in the training split.
        batch_size: images in a global batch.
        seed: of the cell.
    """

    num_images: int
    batch_size: int
    seed: int

    def _indices(self, step: int) -> Tensor:
        """int64 (B,): the images of a step, counted from 0."""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = np.divmod(positions, self.num_images)
        indices = np.empty(self.batch_size, dtype=np.int64)
        for epoch in range(epochs[0], epochs[-1] + 1):
            inside = epochs == epoch
            indices[inside] = _order(self.seed, epoch, self.num_images)[places[inside]]
        return torch.from_numpy(indices)

    def _augmentation(self, step: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, _AUGMENTATION, step))

    def _share(self, rank: int, world_size: int) -> slice:
        if self.batch_size % world_size:
            raise ValueError(
                f"train.batch_size: {self.batch_size}: must divide evenly over the {world_size} devices of this run"
            )
        size = self.batch_size // world_size
        return slice(rank * size, (rank + 1) * size)


@dataclass(frozen=True)
class BatchPlan(_Plan):
    """The whole training's batches of images in arrays.

    Attributes:
        pad: largest shift of a crop, in pixels.
        flip: whether crops are mirrored at random.
    """

    pad: int
    flip: bool

    def global_batch(self, step: int) -> Batch:
        """The batch of all ranks together in a step, counted from 0."""
        generator = self._augmentation(step)
        offsets = generator.integers(-self.pad, self.pad + 1, size=(self.batch_size, 2))
        flips = generator.integers(0, 2 if self.flip else 1, size=self.batch_size)
        return Batch(self._indices(step), torch.from_numpy(offsets), torch.from_numpy(flips).bool())

    def batch(self, step: int, rank: int, world_size: int) -> Batch:
        """A rank's equal part of the step's global batch.

        Raises:
            ValueError: the batch doesn't divide evenly over the ranks.
        """
        mine = self._share(rank, world_size)
        return Batch(*(part[mine] for part in self.global_batch(step)))


@dataclass(frozen=True)
class FilePlan(_Plan):
    """The whole training's batches of images in files.

    Attributes:
        draws: uniform numbers that a crop may use.
        flip: whether crops are mirrored at random.
    """

    draws: int
    flip: bool

    def global_batch(self, step: int) -> FileBatch:
        """The batch of all ranks together in a step, counted from 0."""
        generator = self._augmentation(step)
        crops = generator.random((self.batch_size, self.draws))
        flips = generator.integers(0, 2 if self.flip else 1, size=self.batch_size)
        lighting = generator.standard_normal((self.batch_size, 3))
        return FileBatch(
            self._indices(step), torch.from_numpy(crops), torch.from_numpy(flips).bool(), torch.from_numpy(lighting)
        )

    def batch(self, step: int, rank: int, world_size: int) -> FileBatch:
        """A rank's equal part of the step's global batch.

        Raises:
            ValueError: the batch doesn't divide evenly over the ranks.
        """
        mine = self._share(rank, world_size)
        return FileBatch(*(part[mine] for part in self.global_batch(step)))


# Two epochs meet in a batch: the last two orders are at hand, whatever the data's size.
@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, num_images: int) -> np.ndarray:
    return np.random.default_rng((seed, _ORDER, epoch)).permutation(num_images)


class TrainLoader:
    """Yields a rank's batches from the step that the training has reached up to the last one.

    Args:
        plan: the batches.
        max_steps: of the whole training; also the loader's length, so that Lightning counts one epoch of steps.
        first_step: asked when the iteration begins; after a resume it says how many steps are done.
        rank: of this process.
        world_size: processes in all.
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
    """Yields the indices of a rank's images, each image of the split once over all ranks: int64 (b,).

    Shares may be uneven: with 101 images, two ranks get 51 and 50. A rank without any image yields none.
    """

    def __init__(self, num_images: int, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self.mine = torch.arange(rank, num_images, world_size)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.mine) / self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        yield from self.mine.split(self.batch_size) if len(self.mine) else ()
