"""He initialization, for all networks but AlexNet and torchvision's."""

from __future__ import annotations

from torch import nn


def initialize(network: nn.Module) -> None:
    """Draw the weights of convolutions and linear layers from N(0, 2 / fan-in), and set biases to zero.

    Source: reference 13 of the paper (K. He et al., arXiv 1502.01852). The gain is that of ReLU for all activations, so
    that networks that differ only in the activation start from equal weights.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
