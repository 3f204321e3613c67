"""torchvision's classification networks by name, for other numbers of classes and channels and for small images.

The only file of this package that imports torchvision, and only when such a network is built.
"""

from __future__ import annotations

from difflib import get_close_matches

import torch
from torch import nn

from resgrid.models.small_images import FixedSizeAvgPool2d, enlarge_small_images
from resgrid.names import TorchvisionNetwork

# Without their auxiliary heads; initialized as they always were, a default that torchvision is going to change.
_OPTIONS = {name: {"aux_logits": False, "init_weights": True} for name in ("googlenet", "inception_v3")}


def build(network: TorchvisionNetwork, num_classes: int, in_channels: int) -> nn.Module:
    """Build a network of torchvision, freshly initialized as torchvision does; its weights have torchvision's names.

    Images smaller than the smallest that torchvision gives for the network are enlarged (bilinearly) to it; a vision
    transformer takes no images larger than that either.

    Args:
        network: whose `builder` is as `torchvision.models.list_models` has it, such as `vgg16_bn`.
        num_classes: width of the output.
        in_channels: of the images. For other than 3 the first convolution is built anew, and begins with weights that
            treat each channel as an equal share of gray.

    Returns:
        A module from images (N, in_channels, H, W), normalized, to logits (N, num_classes).

    Raises:
        ValueError: torchvision has no classification network of that name.
    """
    from torchvision import __version__, models

    builder, known = network.builder, models.list_models(module=models)
    if builder not in known:
        allowed = ", ".join(get_close_matches(builder, known, n=4) or known)
        raise ValueError(
            f"torchvision-{builder}: torchvision {__version__} has no classification network {builder!r}; "
            f"allowed are, for instance, {allowed}; `torchvision.models.list_models` lists them all"
        )
    built = models.get_model(builder, weights=None, num_classes=num_classes, **_OPTIONS.get(builder, {}))
    if in_channels != 3:
        _rebuild_first_convolution(built, in_channels)
    for module in built.modules():
        if type(module) is nn.AdaptiveAvgPool2d:
            module.__class__ = FixedSizeAvgPool2d
    enlarge_small_images(built, _minimum_size(builder))
    return built


def _rebuild_first_convolution(network: nn.Module, in_channels: int) -> None:
    path, old = next((path, module) for path, module in network.named_modules() if isinstance(module, nn.Conv2d))
    new = nn.Conv2d(
        in_channels,
        old.out_channels,
        old.kernel_size,  # pyright: ignore[reportArgumentType] # a tuple of two
        old.stride,  # pyright: ignore[reportArgumentType]
        old.padding,  # pyright: ignore[reportArgumentType]
        bias=old.bias is not None,
    )
    with torch.no_grad():
        new.weight.copy_(old.weight.sum(dim=1, keepdim=True) / in_channels)
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    network.set_submodule(path, new)


def _minimum_size(builder: str) -> int:
    """Pixels a side, as torchvision notes them beside its weights; among several the smallest."""
    from torchvision.models import get_model_weights

    return min(max(weights.meta["min_size"]) for weights in get_model_weights(builder))
