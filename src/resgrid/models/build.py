"""Builds the network that a name describes."""

from __future__ import annotations

from importlib import import_module

from torch import nn

from resgrid.names import parse_network


def build_network(name: str, num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Build a network by its name, with weights drawn from torch's global random state.

    Args:
        name: such as `plain20`, `resnet50-imagenet-B` or `torchvision-vgg16_bn`; `docs/networks.md` has the grammar.
        num_classes: number of logits.
        in_channels: channels of the images.

    Returns:
        A module that maps normalized images (N, in_channels, H, W) to logits (N, num_classes).

    Raises:
        ValueError: the name is not valid, torchvision has no such network, or a number is below 1.
    """
    network = parse_network(name)
    if num_classes < 1 or in_channels < 1:
        raise ValueError(f"{name!r}: num_classes {num_classes} or in_channels {in_channels} is below 1; use 1 or more")
    # A family is imported only for its own networks, so that editing it makes only their results stale.
    family = import_module(f"resgrid.models.families.{network.module}")
    return family.build(network, num_classes, in_channels)


def count_parameters(network: nn.Module) -> int:
    """Count the trainable weights, including those of batch norm, as the paper's Table 6 does."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
