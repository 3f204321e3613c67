"""torchvision's classification networks, for any number of classes and channels, and for small images."""

from __future__ import annotations

from difflib import get_close_matches

import torch
from torch import nn

from resgrid.models.small_images import FixedSizeAvgPool2d, enlarge_small_images, require_size
from resgrid.names import TorchvisionNetwork

# No auxiliary heads; torchvision's present initialization, which it announces to change.
_OPTIONS = {name: {"aux_logits": False, "init_weights": True} for name in ("googlenet", "inception_v3")}


def build(network: TorchvisionNetwork, num_classes: int, in_channels: int) -> nn.Module:
    """Build a torchvision network, with torchvision's initialization and names of weights.

    Images smaller than the network's minimum, which torchvision documents with its weights, are enlarged bilinearly.
    Vision transformers and MaxViT raise a `ValueError` for larger images, and for images that are not square.

    Args:
        network: the parsed name, with a builder such as `vgg16_bn`.
        num_classes: number of logits.
        in_channels: channels of the images. If there are not 3, a new first convolution replaces the old one. It starts
            with weights that treat each channel as an equal share of gray.

    Returns:
        A module that maps normalized images (N, in_channels, H, W) to logits (N, num_classes).

    Raises:
        ValueError: torchvision has no classification network of that name.
    """
    from torchvision import __version__, models

    builder, known = network.builder, models.list_models(module=models)
    if builder not in known:
        similar = ", ".join(get_close_matches(builder, known, n=4) or known[:4])
        raise ValueError(
            f"'torchvision-{builder}': torchvision {__version__} has no classification network {builder!r}; "
            f"use one of those that `torchvision.models.list_models` lists, such as {similar}"
        )
    built = models.get_model(builder, weights=None, num_classes=num_classes, **_OPTIONS.get(builder, {}))
    if in_channels != 3:
        _rebuild_first_convolution(built, in_channels)
    for module in built.modules():
        if type(module) is nn.AdaptiveAvgPool2d:
            module.__class__ = FixedSizeAvgPool2d
    minimum = _minimum_size(builder)
    enlarge_small_images(built, minimum)
    if isinstance(built, (models.VisionTransformer, models.MaxVit)):  # their position embeddings are for one size
        require_size(built, network.name, minimum)
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
    """Return the smallest side, in pixels, that torchvision documents for any of the network's weights."""
    from torchvision.models import get_model_weights

    return min(max(weights.meta["min_size"]) for weights in get_model_weights(builder))
