"""AlexNet as published (Krizhevsky, Sutskever and Hinton, NIPS 2012); torchvision's is a later, narrower variant.

Source: "ImageNet Classification with Deep Convolutional Neural Networks". torchvision's variant has neither groups nor
local response normalization.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resgrid.models.small_images import FixedSizeAvgPool2d, enlarge_small_images
from resgrid.names import FixedNetwork

MINIMUM_SIZE = 63


class ResponseNorm(nn.Module):
    """Local response normalization (section 3.3): x / (2 + 1e-4 · sum of the squares of 5 adjacent channels)^0.75.

    torch's module has the same values but no deterministic gradient on GPUs, because it pools in three dimensions.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        squares = F.pad(x.square(), (0, 0, 0, 0, 2, 2))
        sums = torch.stack([squares[:, shift : shift + x.shape[1]] for shift in range(5)]).sum(dim=0)
        return x / (2.0 + 1e-4 * sums) ** 0.75


class AlexNet(nn.Module):
    """Five convolutions with overlapping max pooling, and three linear layers with dropout, for 224×224 pixels.

    The second, fourth and fifth convolution have two groups (one for each GPU in the paper); local response
    normalization follows the first two. The first has a padding of 2: without padding, its published output of 55×55
    needs 227×227 pixels. For images of other sizes, the last maps are averaged to the 6×6 positions that the linear
    layers need; images with a side of less than 63 pixels are enlarged.

    Args:
        num_classes: number of logits.
        in_channels: channels of the images.
    """

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            ResponseNorm(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2),
            nn.ReLU(inplace=True),
            ResponseNorm(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(256, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.pool = FixedSizeAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(0.5),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )
        self._initialize()
        enlarge_small_images(self, MINIMUM_SIZE)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalized images (N, in_channels, H, W) to logits (N, num_classes)."""
        x = self.features(x)  # (N, 256, 6, 6) from 224×224
        return self.classifier(self.pool(x).flatten(1))

    def _initialize(self) -> None:
        """Draw weights from N(0, 0.01²); set biases to 1 in convolutions 2, 4 and 5 and hidden layers (section 5)."""
        weighted = [module for module in self.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
        for layer, module in enumerate(weighted, start=1):
            nn.init.normal_(module.weight, std=0.01)
            assert module.bias is not None
            nn.init.constant_(module.bias, 1.0 if layer in (2, 4, 5, 6, 7) else 0.0)


def build(_network: FixedNetwork, num_classes: int, in_channels: int) -> nn.Module:
    """Build a network that maps normalized images (N, in_channels, H, W) to logits (N, num_classes)."""
    return AlexNet(num_classes, in_channels)
