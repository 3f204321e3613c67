"""The paper's 6n+2 family for small images, plain and residual (section 4.2)."""

from __future__ import annotations

from torch import Tensor, nn

from resgrid.cells import Shortcut
from resgrid.models.blocks import BasicBlock

STAGE_CHANNELS = (16, 32, 64)


class CifarNetwork(nn.Module):
    """A 3×3 stem, three stages of n blocks with 16, 32 and 64 channels, global average pooling, one linear layer.

    The first block of the second and the third stage halves height and width with stride 2. A plain network and its
    residual twin of option A have exactly the same weights; without any shortcut this class is the plain network.

    Args:
        blocks_per_stage: the paper's n.
        shortcut: `none`, `A`, `B` or `C`.
        num_classes: width of the output.
        in_channels: of the images.
    """

    def __init__(self, blocks_per_stage: int, shortcut: Shortcut, num_classes: int, in_channels: int) -> None:
        super().__init__()
        channels = STAGE_CHANNELS[0]
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        stages: list[nn.Module] = []
        for index, out_channels in enumerate(STAGE_CHANNELS):
            blocks: list[nn.Module] = []
            for block in range(blocks_per_stage):
                stride = 2 if index > 0 and block == 0 else 1
                blocks.append(BasicBlock(channels, out_channels, stride, shortcut))
                channels = out_channels
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3 = stages
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(channels, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, in_channels, H, W), normalised, to logits (N, num_classes)."""
        x = self.relu(self.bn1(self.conv1(x)))  # (N, 16, H, W)
        x = self.layer1(x)  # (N, 16, H, W)
        x = self.layer2(x)  # (N, 32, H/2, W/2)
        x = self.layer3(x)  # (N, 64, H/4, W/4)
        return self.linear(self.pool(x).flatten(1))


def initialise(network: nn.Module) -> None:
    """He initialisation of convolutions and linear layers (reference 13 of the paper: deviation sqrt(2 / fan-in));
    batch norm starts as the identity, biases at zero."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
