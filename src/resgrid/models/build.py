"""From a network's name to the network."""

from __future__ import annotations

from torch import nn

from resgrid.cells import parse_network
from resgrid.models.cifar import CifarNetwork


def build_network(name: str, num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Build the network that `name` says, freshly initialised from torch's global random state.

    Args:
        name: such as `plain20` or `resnet56-B`.
        num_classes: width of the output.
        in_channels: of the images.

    Returns:
        A module from images (N, in_channels, H, W), normalised, to logits (N, num_classes).

    Raises:
        ValueError: the name means no network, or a size is not positive.
    """
    network = parse_network(name)
    if num_classes < 1 or in_channels < 1:
        raise ValueError(f"{name}: num_classes {num_classes} and in_channels {in_channels} must be at least 1")
    return CifarNetwork(network.blocks_per_stage, network.shortcut, num_classes, in_channels)


def count_parameters(network: nn.Module) -> int:
    """Trainable weights, those of batch norm included, as the paper's Table 6 counts them."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
