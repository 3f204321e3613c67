"""AlexNet as published: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
Networks", NIPS 2012. torchvision's network of this name is a later, narrower one without groups and normalization."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resgrid.models.small_images import FixedSizeAvgPool2d, enlarge_small_images
from resgrid.names import FixedNetwork

MINIMUM_SIZE = 63


class ResponseNorm(nn.Module):
    """Local response normalization (section 3.3): x / (2 + 1e-4 · sum of the squares of 5 neighboring channels)^0.75.

    torch's own has the same values, but no deterministic gradient on GPUs, since it pools in three dimensions.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        squares = F.pad(x.square(), (0, 0, 0, 0, 2, 2))
        sums = torch.stack([squares[:, shift : shift + x.shape[1]] for shift in range(5)]).sum(dim=0)
        return x / (2.0 + 1e-4 * sums) ** 0.75


class AlexNet(nn.Module):
    """Five convolutions, of which the second, fourth and fifth are in two groups (the original's two GPUs), local
    response normalization after the first two, overlapping max pooling, three linear layers with dropout.

    For images of 224×224. The first convolution has a padding of 2, since the published sizes (55×55 after it) need
    227×227 pixels without. Feature maps of other images are averaged to the 6×6 positions that the linear layers take;
    images of less than 63 pixels a side are enlarged.

    Args:
        num_classes: width of the output.
        in_channels: of the images.
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
        self._initialise()
        enlarge_small_images(self, MINIMUM_SIZE)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, in_channels, H, W), normalized, to logits (N, num_classes)."""
        x = self.features(x)  # (N, 256, 6, 6) from 224×224
        return self.classifier(self.pool(x).flatten(1))

    def _initialise(self) -> None:
        """Section 5: deviation 0.01; biases 1 in the convolutions 2, 4 and 5 and the hidden linear layers, else 0."""
        weighted = [module for module in self.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
        for layer, module in enumerate(weighted, start=1):
            nn.init.normal_(module.weight, std=0.01)
            assert module.bias is not None
            nn.init.constant_(module.bias, 1.0 if layer in (2, 4, 5, 6, 7) else 0.0)


def build(_network: FixedNetwork, num_classes: int, in_channels: int) -> nn.Module:
    """Build the network; images (N, in_channels, H, W) to logits (N, num_classes)."""
    return AlexNet(num_classes, in_channels)
