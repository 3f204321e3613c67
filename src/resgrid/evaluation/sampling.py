"""The images of a split, or of an evenly spaced part of it, as batches that can be gone through again and again."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from resgrid.data.reading.images import Images


class Batches:
    """Yields normalized images (b, C, H, W) and labels (b,) on the images' device, in the order of the split.

    Args:
        images: of the split.
        batch_size: images in a batch; the last one may hold fewer.
        count: images to take, evenly spaced, so that a split in the order of its classes is covered as well; None or
            more than there are: all.
    """

    def __init__(self, images: Images, batch_size: int, count: int | None = None) -> None:
        self.images, self.batch_size = images, batch_size
        self.indices = evenly_spaced(len(images), count)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for indices in self.indices.split(self.batch_size):
            yield self.images.plain(indices)


def evenly_spaced(length: int, count: int | None) -> Tensor:
    """int64 (count,): as many indices below `length`, growing; all where `count` is None or more than there are."""
    taken = length if count is None else min(count, length)
    return torch.arange(taken) * length // taken
