"""What lets networks made for 224×224 pixels take small images: enlarging them, and pooling to a fixed size."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def enlarge_small_images(network: nn.Module, minimum: int) -> None:
    """Have a network enlarge images bilinearly, if height or width is below `minimum` pixels, until neither is.

    A hook and no module around the network: its weights keep their names.
    """
    network.register_forward_pre_hook(partial(_enlarge, minimum))


def _enlarge(minimum: int, _network: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    height, width = inputs[0].shape[-2:]
    smaller = min(height, width)
    if smaller >= minimum:
        return inputs
    # Integers all the way: the smaller side becomes the minimum exactly.
    size = (height * minimum // smaller, width * minimum // smaller)
    return (F.interpolate(inputs[0], size, mode="bilinear", align_corners=False),)


class FixedSizeAvgPool2d(nn.AdaptiveAvgPool2d):
    """`AdaptiveAvgPool2d` whose gradient is deterministic on GPUs too, where torch's refuses to be with
    `train.deterministic` (https://pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html)."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, *output_size)."""
        rows, columns = self.output_size if isinstance(self.output_size, tuple) else (self.output_size,) * 2
        assert rows is not None
        assert columns is not None
        if (rows, columns) == (1, 1):
            return super().forward(input)  # a mean, which is deterministic
        if (rows, columns) == input.shape[-2:]:
            return input
        return _averages(input.shape[-2], rows, input) @ input @ _averages(input.shape[-1], columns, input).T


def _averages(size: int, output_size: int, like: Tensor) -> Tensor:
    """(output_size, size): each row averages the positions that torch's adaptive pooling averages."""
    positions = torch.arange(size, device=like.device)
    index = torch.arange(output_size, device=like.device)[:, None]
    starts, ends = index * size // output_size, ((index + 1) * size + output_size - 1) // output_size
    inside = ((positions >= starts) & (positions < ends)).to(like.dtype)
    return inside / inside.sum(dim=1, keepdim=True)
