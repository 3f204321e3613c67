"""He initialization, of every network here that has no other one of its own."""

from __future__ import annotations

from torch import nn


def initialize(network: nn.Module) -> None:
    """He initialization of convolutions and linear layers (reference 13 of the paper: deviation sqrt(2 / fan-in));
    batch norm starts as the identity, biases at zero.

    The deviation is that for ReLU with every activation, so that networks that differ in it start from equal weights.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
