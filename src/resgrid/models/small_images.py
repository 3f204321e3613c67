"""Adapts images to networks for 224×224 pixels: enlarges small ones, checks their size, pools maps to a fixed size."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def enlarge_small_images(network: nn.Module, minimum: int) -> None:
    """Have a network enlarge images bilinearly whose shorter side is less than `minimum` pixels, to that minimum.

    This is a hook and not a wrapper, so that the weights keep their names.
    """
    network.register_forward_pre_hook(partial(_enlarge, minimum))


def _enlarge(minimum: int, _network: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    height, width = inputs[0].shape[-2:]
    smaller = min(height, width)
    if smaller >= minimum:
        return inputs
    # With integers, the shorter side becomes exactly the minimum.
    size = (height * minimum // smaller, width * minimum // smaller)
    return (F.interpolate(inputs[0], size, mode="bilinear", align_corners=False),)


def require_size(network: nn.Module, name: str, side: int) -> None:
    """Have a network raise a `ValueError` for images that are not squares of `side` pixels (after enlarging).

    Args:
        name: the network's name, for the message.
    """
    network.register_forward_pre_hook(partial(_check_size, name, side))


def _check_size(name: str, side: int, _network: nn.Module, inputs: tuple[Tensor]) -> None:
    height, width = inputs[0].shape[-2:]
    if (height, width) != (side, side):
        raise ValueError(
            f"{name!r}: images of {height}×{width} pixels (after enlarging); use square ones of at most {side}×{side}"
        )


class FixedSizeAvgPool2d(nn.AdaptiveAvgPool2d):
    """`AdaptiveAvgPool2d` with a deterministic gradient on GPUs.

    torch's raises an error there with `train.deterministic`
    (https://pytorch.org/docs/stable/generated/torch.use_deterministic_algorithms.html).
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, *output_size)."""
        rows, columns = self.output_size if isinstance(self.output_size, tuple) else (self.output_size,) * 2
        assert rows is not None
        assert columns is not None
        if (rows, columns) == (1, 1):
            return super().forward(input)  # the mean has a deterministic gradient
        if (rows, columns) == input.shape[-2:]:
            return input
        return _averages(input.shape[-2], rows, input) @ input @ _averages(input.shape[-1], columns, input).T


def _averages(size: int, output_size: int, like: Tensor) -> Tensor:
    """Return the matrix (output_size, size) of which each row averages the positions of one adaptive pooling window."""
    positions = torch.arange(size, device=like.device)
    index = torch.arange(output_size, device=like.device)[:, None]
    starts, ends = index * size // output_size, ((index + 1) * size + output_size - 1) // output_size
    inside = ((positions >= starts) & (positions < ends)).to(like.dtype)
    return inside / inside.sum(dim=1, keepdim=True)
