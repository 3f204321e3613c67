"""Class activation maps: which places of an image speak for the class that the network predicts.

Zhou et al. 2016, "Learning Deep Features for Discriminative Localization" (arXiv 1512.04150), in the form of
Selvaraju et al. 2017, "Grad-CAM" (arXiv 1610.02391), which is the same for a network that ends in global average
pooling and one linear layer, and is defined for others as well.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn


def class_activation_maps(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """The predicted classes (N,) of images (N, C, H, W), and for each a map (N, h, w) of what speaks for it.

    The map is the sum of the last feature map's channels, each weighted with the sum over positions of the logit's
    gradient. With global average pooling and a linear layer these are that class's weights, and the mean of the map
    is the logit without its bias. Negative values speak against the class: Grad-CAM's ReLU is left out.

    The last feature map is the last one with more than one position that a module gave, or that a layer without
    parts (the pooling, say) took: in the networks of section 4.2 2×2 for images of 8×8, and 8×8 for those of 32×32.

    Args:
        network: in evaluation mode.

    Raises:
        ValueError: no map has more than one position.
    """
    features: list[Tensor] = []

    def note(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        is_layer = next(module.children(), None) is None
        for values in (output, *arguments) if is_layer else (output,):
            if isinstance(values, Tensor) and values.ndim == 4 and values.shape[2:].numel() > 1:
                features[:] = [values]
                return

    with ExitStack() as hooks, torch.enable_grad():
        for module in network.modules():
            hooks.enter_context(module.register_forward_hook(note))
        logits = network(images)
        if not features:
            raise ValueError(f"no layer has a map with more than one position for images of {tuple(images.shape[2:])}")
        predicted = logits.argmax(dim=1)
        (gradient,) = torch.autograd.grad(logits.gather(1, predicted[:, None]).sum(), features[0])
    weights = gradient.sum(dim=(2, 3), keepdim=True)
    return predicted, (weights * features[0].detach()).sum(dim=1)
