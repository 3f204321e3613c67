"""VGG for small images (Simonyan and Zisserman, arXiv 1409.1556, Table 1), with batch norm and one linear layer."""

from __future__ import annotations

from torch import Tensor, nn

from resgrid.models.initialization import initialize
from resgrid.names import FixedNetwork

CHANNELS = (64, 128, 256, 512, 512)
# Convolutions in each of the five stages (columns A, B, D and E of Table 1).
CONVOLUTIONS = {
    "vgg11-cifar": (1, 1, 2, 2, 2),
    "vgg13-cifar": (2, 2, 2, 2, 2),
    "vgg16-cifar": (2, 2, 3, 3, 3),
    "vgg19-cifar": (2, 2, 4, 4, 4),
}


class CifarVgg(nn.Module):
    """Five stages of 3×3 convolutions with batch norm and ReLU, each stage followed by 2×2 max pooling.

    They reduce a 32×32 image to one position with 512 channels. The original's three linear layers, which contain most
    of its weights, are for 7×7 positions; here one linear layer follows, as is usual for small images.

    Args:
        convolutions: number of convolutions in each stage.
        num_classes: number of logits.
        in_channels: channels of the images.
    """

    def __init__(self, convolutions: tuple[int, ...], num_classes: int, in_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, count in zip(CHANNELS, convolutions, strict=True):
            for _ in range(count):
                layers += [
                    nn.Conv2d(in_channels, channels, kernel_size=3, padding=1, bias=False),
                    nn.BatchNorm2d(channels),
                    nn.ReLU(inplace=True),
                ]
                in_channels = channels
            # Rounding up admits images of any size; it has no effect on multiples of 32.
            layers.append(nn.MaxPool2d(kernel_size=2, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(in_channels, num_classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized images (N, in_channels, H, W) to logits (N, num_classes)."""
        x = self.features(x)  # (N, 512, ceil(H/32), ceil(W/32))
        return self.classifier(self.pool(x).flatten(1))


def build(network: FixedNetwork, num_classes: int, in_channels: int) -> nn.Module:
    """Build a network that maps normalized images (N, in_channels, H, W) to logits (N, num_classes)."""
    return CifarVgg(CONVOLUTIONS[network.name], num_classes, in_channels)
