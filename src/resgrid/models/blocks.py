"""The building block of plain and residual networks: two 3×3 convolutions, with or without a shortcut around them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resgrid.cells import Shortcut


class ZeroPadShortcut(nn.Module):
    """Option A: the identity, subsampled by the stride, with zero channels put around it (section 3.3, option A).

    It has no weights. Half of the new channels come before the old ones and half after, the placement of the
    well-known CIFAR implementations, so that their weights compute the same function here.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        extra = out_channels - in_channels
        self.padding = (0, 0, 0, 0, extra // 2, extra - extra // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], self.padding)


def build_shortcut(option: Shortcut, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    """What goes around a block: the one place that decides between plain, A, B and C (section 3.3, Table 3).

    Returns:
        None for a plain network; the identity where nothing changes its shape (except with option C); otherwise
        zero padding (A) or a 1×1 convolution with batch norm (B, C).
    """
    if option == "none":
        return None
    grows = in_channels != out_channels or stride != 1
    if option == "C" or (option == "B" and grows):
        return nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False),
            nn.BatchNorm2d(out_channels),
        )
    return ZeroPadShortcut(in_channels, out_channels, stride) if grows else nn.Identity()


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, each with batch norm after it; y = relu(F(x) + shortcut(x)), or relu(F(x)) when plain
    (Fig. 2; batch norm after each convolution and before the activation, section 3.4)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = build_shortcut(shortcut, in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        return torch.relu_(y)
