"""From a network's name to the network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from resgrid.models.families.alexnet import AlexNet
from resgrid.models.families.cifar import CifarNetwork
from resgrid.models.families.densenet import CifarDenseNet
from resgrid.models.families.imagenet import ImagenetNetwork
from resgrid.models.families.inception import CifarGoogLeNet, SmallInception
from resgrid.models.families.torchvision_networks import build_torchvision
from resgrid.models.families.vgg import CONVOLUTIONS, CifarVgg
from resgrid.names import DenseNetwork, PlainOrResidual, TorchvisionNetwork, parse_network

# Networks of one fixed form: from the numbers of classes and channels to the network.
_FIXED: dict[str, Callable[[int, int], nn.Module]] = {
    "alexnet": AlexNet,
    **{f"vgg{depth}-cifar": partial(CifarVgg, depth) for depth in CONVOLUTIONS},
    "inception-cifar": SmallInception,
    "googlenet-cifar": CifarGoogLeNet,
}


def build_network(name: str, num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Build the network that `name` says, freshly initialized from torch's global random state.

    Args:
        name: such as `plain20`, `resnet50-imagenet-B` or `torchvision-vgg16_bn`; `docs/networks.md` has the grammar.
        num_classes: width of the output.
        in_channels: of the images.

    Returns:
        A module from images (N, in_channels, H, W), normalized, to logits (N, num_classes).

    Raises:
        ValueError: the name means no network, torchvision has none of that name, or a size is not positive.
    """
    network = parse_network(name)
    if num_classes < 1 or in_channels < 1:
        raise ValueError(f"{name}: num_classes {num_classes} and in_channels {in_channels} must be at least 1")
    if isinstance(network, PlainOrResidual):
        build = CifarNetwork if network.images == "cifar" else ImagenetNetwork
        return build(network, num_classes, in_channels)
    if isinstance(network, DenseNetwork):
        return CifarDenseNet(network, num_classes, in_channels)
    if isinstance(network, TorchvisionNetwork):
        return build_torchvision(network.builder, num_classes, in_channels)
    return _FIXED[name](num_classes, in_channels)


def count_parameters(network: nn.Module) -> int:
    """Trainable weights, those of batch norm included, as the paper's Table 6 counts them."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
