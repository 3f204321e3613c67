"""Plain and residual networks for ImageNet (the paper, Table 1), also with a stem for small images."""

from __future__ import annotations

from torch import Tensor, nn

from resgrid.models.blocks import (
    BOTTLENECK_EXPANSION,
    build_stage,
    convolution,
    normalization,
    normalize_and_activate,
)
from resgrid.models.initialization import initialize
from resgrid.names import PlainOrResidual

STEM_CHANNELS = 64
STAGE_CHANNELS = (64, 128, 256, 512)


class ImagenetNetwork(nn.Module):
    """A 7×7 stem with stride 2, 3×3 max pooling, four stages, global average pooling and a linear layer.

    The first block of each stage after the first halves height and width. With bottlenecks, the stages have 4 times the
    channels. With `stem3x3`, the stem is one 3×3 convolution and there is no max pooling, as in many tutorials on
    CIFAR-10 and MNIST (https://github.com/kuangliu/pytorch-cifar). Weights have the names of torchvision's ResNets,
    whose networks have option B and `stride3x3`.

    Args:
        network: the parsed name.
        num_classes: number of logits.
        in_channels: channels of the images.
    """

    def __init__(self, network: PlainOrResidual, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.network = network
        expansion = BOTTLENECK_EXPANSION if network.bottleneck else 1
        first, second, third, fourth = (expansion * channels for channels in STAGE_CHANNELS)
        blocks = network.blocks_per_stage
        size, stride = (3, 1) if network.images == "stem3x3" else (7, 2)
        self.conv1 = convolution(in_channels, STEM_CHANNELS, size, stride=stride, bias=network.norm == "nonorm")
        if network.norm != "preact":
            self.bn1 = normalization(STEM_CHANNELS, network.norm)
        self.maxpool: nn.Module = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        if network.images == "stem3x3":
            self.maxpool = nn.Identity()
        self.layer1 = build_stage(STEM_CHANNELS, first, blocks[0], 1, network)
        self.layer2 = build_stage(first, second, blocks[1], 2, network)
        self.layer3 = build_stage(second, third, blocks[2], 2, network)
        self.layer4 = build_stage(third, fourth, blocks[3], 2, network)
        if network.norm == "preact":  # the last block ends with a convolution
            self.bn_last = normalization(fourth, network.norm)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(fourth, num_classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized images (N, in_channels, H, W) to logits (N, num_classes)."""
        x = self.conv1(x)  # (N, 64, H/2, W/2); with stem3x3, here and below, 2 and then 4 times the height and width
        if self.network.norm != "preact":
            x = normalize_and_activate(x, self.bn1, self.network)
        x = self.maxpool(x)  # (N, 64, H/4, W/4)
        x = self.layer1(x)  # (N, 64, H/4, W/4); with bottlenecks, here and below, 4 times the channels
        x = self.layer2(x)  # (N, 128, H/8, W/8)
        x = self.layer3(x)  # (N, 256, H/16, W/16)
        x = self.layer4(x)  # (N, 512, H/32, W/32)
        if self.network.norm == "preact":
            x = normalize_and_activate(x, self.bn_last, self.network)
        return self.fc(self.avgpool(x).flatten(1))


def build(network: PlainOrResidual, num_classes: int, in_channels: int) -> nn.Module:
    """Build a network that maps normalized images (N, in_channels, H, W) to logits (N, num_classes)."""
    return ImagenetNetwork(network, num_classes, in_channels)
