"""DenseNets for small images (Huang et al., arXiv 1608.06993)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resgrid.models.initialization import initialize
from resgrid.names import DenseNetwork


class DenseLayer(nn.Module):
    """Batch norm, ReLU and a 3×3 convolution to k channels, which are appended to the input (section 3, Fig. 1).

    Args:
        in_channels: channels of the input, which contains the outputs of all layers before.
        growth: the paper's k.
        bottleneck: whether batch norm, ReLU and a 1×1 convolution to 4k channels precede these (DenseNet-B).
    """

    def __init__(self, in_channels: int, growth: int, bottleneck: bool) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        width = 4 * growth if bottleneck else in_channels
        if bottleneck:
            self.bn1 = nn.BatchNorm2d(in_channels)
            self.conv1 = nn.Conv2d(in_channels, width, kernel_size=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, growth, kernel_size=3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, in_channels + k, H, W)."""
        y = self.conv1(torch.relu_(self.bn1(x))) if self.bottleneck else x
        return torch.cat([x, self.conv2(torch.relu_(self.bn2(y)))], dim=1)


class Transition(nn.Module):
    """Batch norm, ReLU, a 1×1 convolution and 2×2 average pooling between two dense blocks."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, floor(H/2), floor(W/2))."""
        return F.avg_pool2d(self.conv(torch.relu_(self.bn(x))), kernel_size=2)


class CifarDenseNet(nn.Module):
    """A 3×3 stem, three dense blocks with transitions between them, global average pooling and a linear layer.

    The stem has 16 channels. With compression, it has 2k, and transitions halve the channels. The smallest image has
    4×4 pixels.

    Args:
        network: the parsed name.
        num_classes: number of logits.
        in_channels: channels of the images.
    """

    def __init__(self, network: DenseNetwork, num_classes: int, in_channels: int) -> None:
        super().__init__()
        channels = 2 * network.growth if network.compressed else 16
        self.stem = nn.Conv2d(in_channels, channels, kernel_size=3, padding=1, bias=False)
        stages: list[nn.Module] = []
        for stage in range(3):
            if stage:
                out_channels = channels // 2 if network.compressed else channels
                stages.append(Transition(channels, out_channels))
                channels = out_channels
            for _ in range(network.layers_per_stage):
                stages.append(DenseLayer(channels, network.growth, network.compressed))
                channels += network.growth
        self.stages = nn.Sequential(*stages)
        self.bn = nn.BatchNorm2d(channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(channels, num_classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized images (N, in_channels, H, W) to logits (N, num_classes)."""
        x = self.stages(self.stem(x))  # (N, 342, H/4, W/4) with k = 12 and depth 100
        x = torch.relu_(self.bn(x))
        return self.linear(self.pool(x).flatten(1))


def build(network: DenseNetwork, num_classes: int, in_channels: int) -> nn.Module:
    """Build a network that maps normalized images (N, in_channels, H, W) to logits (N, num_classes)."""
    return CifarDenseNet(network, num_classes, in_channels)
