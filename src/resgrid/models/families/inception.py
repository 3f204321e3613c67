"""Inception networks for small images, with batch norm: that of Zhang et al., and one with GoogLeNet's blocks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resgrid.models.initialization import initialize
from resgrid.names import FixedNetwork

# Channels of the 1×1 and 3×3 convolutions of each block of the small Inception, or of a downsampling's 3×3 convolution.
SMALL_BLOCKS: tuple[tuple[int, int] | int, ...] = (
    (32, 32),
    (32, 48),
    80,
    (112, 48),
    (96, 64),
    (80, 80),
    (48, 96),
    96,
    (176, 160),
    (176, 160),
)

# Channels in each block of GoogLeNet (Table 1): 1×1, 3×3 reduce, 3×3, 5×5 reduce, 5×5, pool projection.
GOOGLENET_STAGES = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
GOOGLENET_STEM_CHANNELS = 192


class ConvNormReLU(nn.Sequential):
    """Convolution, batch norm and ReLU, to (N, out_channels, ceil(H / stride), ceil(W / stride))."""

    def __init__(self, in_channels: int, out_channels: int, size: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class SmallBlock(nn.Module):
    """A 1×1 and a 3×3 convolution in parallel."""

    def __init__(self, in_channels: int, channels_1x1: int, channels_3x3: int) -> None:
        super().__init__()
        self.branch1 = ConvNormReLU(in_channels, channels_1x1, 1)
        self.branch2 = ConvNormReLU(in_channels, channels_3x3, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, channels_1x1 + channels_3x3, H, W)."""
        return torch.cat([self.branch1(x), self.branch2(x)], dim=1)


class Downsampling(nn.Module):
    """A 3×3 convolution and 3×3 max pooling in parallel, both with stride 2."""

    def __init__(self, in_channels: int, channels_3x3: int) -> None:
        super().__init__()
        self.branch1 = ConvNormReLU(in_channels, channels_3x3, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, in_channels + channels_3x3, ceil(H/2), ceil(W/2))."""
        return torch.cat([self.branch1(x), F.max_pool2d(x, kernel_size=3, stride=2, padding=1)], dim=1)


class SmallInception(nn.Module):
    """The small Inception of Zhang et al. (arXiv 1611.03530, appendix A, Fig. 3).

    It is for the central 28×28 pixels of CIFAR-10's images; global pooling accepts any size. The paper counts 1,649,402
    parameters with batch norms that have a shift and no scale. Here they have both, which gives 1,651,114.

    Args:
        num_classes: number of logits.
        in_channels: channels of the images.
    """

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        channels = 96
        self.stem = ConvNormReLU(in_channels, channels, 3)
        blocks: list[nn.Module] = []
        for block in SMALL_BLOCKS:
            if isinstance(block, int):
                blocks.append(Downsampling(channels, block))
                channels += block
            else:
                blocks.append(SmallBlock(channels, *block))
                channels = sum(block)
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(channels, num_classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized images (N, in_channels, H, W) to logits (N, num_classes)."""
        x = self.blocks(self.stem(x))  # (N, 336, H/4, W/4)
        return self.linear(self.pool(x).flatten(1))


class InceptionBlock(nn.Module):
    """1×1, 3×3 and 5×5 convolutions and pooling in parallel, with 1×1 reductions (arXiv 1409.4842, Fig. 2b)."""

    def __init__(
        self, in_channels: int, ones: int, reduce3: int, threes: int, reduce5: int, fives: int, pooled: int
    ) -> None:
        super().__init__()
        self.out_channels = ones + threes + fives + pooled
        self.branch1 = ConvNormReLU(in_channels, ones, 1)
        self.branch2 = nn.Sequential(ConvNormReLU(in_channels, reduce3, 1), ConvNormReLU(reduce3, threes, 3))
        self.branch3 = nn.Sequential(ConvNormReLU(in_channels, reduce5, 1), ConvNormReLU(reduce5, fives, 5))
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1), ConvNormReLU(in_channels, pooled, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, ones + threes + fives + pooled, H, W)."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class CifarGoogLeNet(nn.Module):
    """GoogLeNet (Szegedy et al., arXiv 1409.4842, Table 1) for small images, with batch norm.

    It has GoogLeNet's nine blocks, with max pooling after the second and the seventh. A 3×3 stem replaces the one that
    reduces 224×224 pixels to 28×28. There are no dropout and no auxiliary heads.

    Args:
        num_classes: number of logits.
        in_channels: channels of the images.
    """

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        channels = GOOGLENET_STEM_CHANNELS
        self.stem = ConvNormReLU(in_channels, channels, 3)
        blocks: list[nn.Module] = []
        for index, stage in enumerate(GOOGLENET_STAGES):
            if index:
                blocks.append(nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
            for widths in stage:
                block = InceptionBlock(channels, *widths)
                blocks.append(block)
                channels = block.out_channels
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(channels, num_classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized images (N, in_channels, H, W) to logits (N, num_classes)."""
        x = self.blocks(self.stem(x))  # (N, 1024, H/4, W/4)
        return self.linear(self.pool(x).flatten(1))


NETWORKS = {"inception-cifar": SmallInception, "googlenet-cifar": CifarGoogLeNet}


def build(network: FixedNetwork, num_classes: int, in_channels: int) -> nn.Module:
    """Build a network that maps normalized images (N, in_channels, H, W) to logits (N, num_classes)."""
    return NETWORKS[network.name](num_classes, in_channels)
