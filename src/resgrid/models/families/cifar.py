"""Plain and residual networks for small images (the paper, section 4.2)."""

from __future__ import annotations

from torch import Tensor, nn

from resgrid.models.blocks import BOTTLENECK_EXPANSION, build_stage, convolution, normalization, normalize_and_activate
from resgrid.models.initialization import initialize
from resgrid.names import PlainOrResidual

STEM_CHANNELS = 16
STAGE_CHANNELS = (16, 32, 64)


class CifarNetwork(nn.Module):
    """A 3×3 stem, three stages of n blocks with 16, 32 and 64 channels, global average pooling and a linear layer.

    The first block of the second and the third stage halves height and width. With bottlenecks, the stages have 64, 128
    and 256 channels (arXiv 1603.05027, section 4). A plain network has the same weights as its residual counterpart
    with option A.

    Args:
        network: the parsed name.
        num_classes: number of logits.
        in_channels: channels of the images.
    """

    def __init__(self, network: PlainOrResidual, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.network = network
        expansion = BOTTLENECK_EXPANSION if network.bottleneck else 1
        first, second, third = (expansion * channels for channels in STAGE_CHANNELS)
        blocks = network.blocks_per_stage
        self.conv1 = convolution(in_channels, STEM_CHANNELS, 3, bias=network.norm == "nonorm")
        if network.norm != "preact":
            self.bn1 = normalization(STEM_CHANNELS, network.norm)
        self.layer1 = build_stage(STEM_CHANNELS, first, blocks[0], 1, network)
        self.layer2 = build_stage(first, second, blocks[1], 2, network)
        self.layer3 = build_stage(second, third, blocks[2], 2, network)
        if network.norm == "preact":  # the last block ends with a convolution
            self.bn_last = normalization(third, network.norm)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(third, num_classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized images (N, in_channels, H, W) to logits (N, num_classes)."""
        x = self.conv1(x)  # (N, 16, H, W)
        if self.network.norm != "preact":
            x = normalize_and_activate(x, self.bn1, self.network)
        x = self.layer1(x)  # (N, 16, H, W); with bottlenecks, here and below, 4 times the channels
        x = self.layer2(x)  # (N, 32, H/2, W/2)
        x = self.layer3(x)  # (N, 64, H/4, W/4)
        if self.network.norm == "preact":
            x = normalize_and_activate(x, self.bn_last, self.network)
        return self.linear(self.pool(x).flatten(1))


def build(network: PlainOrResidual, num_classes: int, in_channels: int) -> nn.Module:
    """Build a network that maps normalized images (N, in_channels, H, W) to logits (N, num_classes)."""
    return CifarNetwork(network, num_classes, in_channels)
