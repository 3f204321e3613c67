"""VGG for small images: Simonyan and Zisserman, arXiv 1409.1556, Table 1, with batch norm and one linear layer."""

from __future__ import annotations

from torch import Tensor, nn

from resgrid.models.initialization import initialize
from resgrid.names import FixedNetwork

CHANNELS = (64, 128, 256, 512, 512)
# Convolutions in each of the five stages: columns A, B, D and E of the table.
CONVOLUTIONS = {
    "vgg11-cifar": (1, 1, 2, 2, 2),
    "vgg13-cifar": (2, 2, 2, 2, 2),
    "vgg16-cifar": (2, 2, 3, 3, 3),
    "vgg19-cifar": (2, 2, 4, 4, 4),
}


class CifarVgg(nn.Module):
    """Five stages of 3×3 convolutions, each followed by batch norm and ReLU, with 2×2 max pooling after each stage.

    What is left of a 32×32 image is one position of 512 channels. The original's three linear layers, made for 7×7
    positions, hold most of its weights; here is one, as is usual for small images.

    Args:
        convolutions: number of convolutions in each stage.
        num_classes: width of the output.
        in_channels: of the images.
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
            # Rounding sizes up lets images of any size through; for multiples of 32 there is nothing to round.
            layers.append(nn.MaxPool2d(kernel_size=2, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(in_channels, num_classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, in_channels, H, W), normalized, to logits (N, num_classes)."""
        x = self.features(x)  # (N, 512, ceil(H/32), ceil(W/32))
        return self.classifier(self.pool(x).flatten(1))


def build(network: FixedNetwork, num_classes: int, in_channels: int) -> nn.Module:
    """Build the network; images (N, in_channels, H, W) to logits (N, num_classes)."""
    return CifarVgg(CONVOLUTIONS[network.name], num_classes, in_channels)
