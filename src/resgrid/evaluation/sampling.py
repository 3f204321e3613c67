"""The images of a split, or an evenly spaced sample of them, as batches."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from resgrid.data.reading.images import Images


class Batches:
    """Normalized images (b, C, H, W) and labels (b,) on the images' device, in the order of the split.

    Batches can be iterated repeatedly.

    Args:
        images: the split.
        batch_size: images in a batch; the last batch can be smaller.
        count: images to use, evenly spaced, so that they cover a split sorted by class too. None uses all images, as
            does a count above their number.
    """

    def __init__(self, images: Images, batch_size: int, count: int | None = None) -> None:
        self.images, self.batch_size = images, batch_size
        self.indices = evenly_spaced(len(images), count)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for indices in self.indices.split(self.batch_size):
            yield self.images.plain(indices)


def evenly_spaced(length: int, count: int | None) -> Tensor:
    """Return `count` ascending indices below `length`, int64; None or a larger `count` means all."""
    taken = length if count is None else min(count, length)
    return torch.arange(taken) * length // taken
