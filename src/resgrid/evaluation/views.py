"""The logits of a network for a split: of one view of each image, or averaged over several views."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from resgrid.config.evaluate import EvaluateConfig
from resgrid.data.reading.images import Images


def compute_logits(network: nn.Module, images: Images, config: EvaluateConfig) -> Tensor:
    """Compute the logits of a split: float32 (N, classes) on the CPU, in the order of the split.

    For several views of an image, the result is the logarithm of its mean class probabilities over the views, whose
    softmax is that mean. Krizhevsky et al. 2012, section 4.1, average ten crops; Simonyan & Zisserman 2015, section
    3.2, average scales and mirror images, as the paper does (section 3.4).

    Args:
        network: in evaluation mode, on the images' device.

    Raises:
        ValueError: the images or the network don't support the views.
    """
    with torch.inference_mode():
        if config.views == "single":
            loader = images.evaluation_loader(config.batch_size)
            return single_view_logits(network, (images.plain(batch)[0] for batch in loader))
        if config.views == "ten_crop":
            return _averaged(network, len(images), images.ten_crops(config.batch_size))
        views = images.whole_images(config.scales, config.batch_size)
        demand_global_pooling(network, images)
        return _averaged(network, len(images), views)


def single_view_logits(network: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    """Compute the logits of one view per image: float32 (N, classes) on the CPU, in the order of the batches.

    Args:
        network: in evaluation mode.
        batches: normalized images (b, C, H, W), on the network's device.
    """
    with torch.inference_mode():
        return torch.cat([network(batch) for batch in batches]).float().cpu()


def demand_global_pooling(network: nn.Module, images: Images) -> None:
    """Check that a network can be applied to whole images of any size.

    If a network ends in global average pooling and one linear layer, its logits for a larger image are the average over
    all positions of the fully convolutional network's logits. Other networks have several linear layers or pool to a
    fixed grid.

    Raises:
        ValueError: the network does not end in global average pooling and one linear layer.
    """
    problems: list[str] = []
    linear_layers: list[nn.Linear] = []

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(module, nn.Linear):
            linear_layers.append(module)
        elif isinstance(module, nn.AdaptiveAvgPool2d) and isinstance(output, Tensor) and output[0, 0].numel() > 1:
            problems.append(f"pools to {output.shape[2]}×{output.shape[3]} positions")

    channels, height, width = images.shape
    larger = width + width // 2
    with ExitStack() as hooks:
        for module in network.modules():
            hooks.enter_context(module.register_forward_hook(note))
        try:
            network(torch.zeros(1, channels, height, larger, device=images.device))
        except RuntimeError as error:
            problems.append(f"fails for an image of {larger}×{height} pixels ({error})")
    if len(linear_layers) > 1:
        problems.append(f"ends in {len(linear_layers)} linear layers")
    if problems:
        raise ValueError(
            f"evaluate.views: 'multi_scale': the network {problems[0]}; multi_scale needs global average pooling "
            "before one linear layer; use 'single' or 'ten_crop'"
        )


def _averaged(network: nn.Module, count: int, views: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the logarithms of each image's mean class probabilities over its views: float32 (N, classes).

    Args:
        count: number of images, N.
        views: image indices (n,) and normalized views (n, C, h, w), several at a time.
    """
    sums: Tensor | None = None
    counts = torch.zeros(count, dtype=torch.float64)
    for indices, pixels in views:
        probabilities = network(pixels).double().softmax(dim=1).cpu()
        if sums is None:
            sums = torch.zeros(count, probabilities.shape[1], dtype=torch.float64)
        sums.index_add_(0, indices, probabilities)
        counts.index_add_(0, indices, torch.ones(len(indices), dtype=torch.float64))
    assert sums is not None
    # The clamp keeps the logarithm finite for a class with zero probability in every view.
    return (sums / counts[:, None]).clamp_min(torch.finfo(torch.float32).tiny).log().float()
