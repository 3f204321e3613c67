"""What a network answers to the images of a split: to one view of each, or to several, whose answers are averaged."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from resgrid.config.evaluate import EvaluateConfig
from resgrid.data.reading.images import Images


def compute_logits(network: nn.Module, images: Images, config: EvaluateConfig) -> Tensor:
    """float32 (N, classes) on the CPU, in the order of the split.

    With several views of an image these are the logarithms of its mean class probabilities over the views (Krizhevsky
    et al. 2012, section 4.1, for ten crops; Simonyan & Zisserman 2015, section 3.2, for scales and mirror images, which
    the paper follows in section 3.4): their softmax is that mean.

    Args:
        network: in evaluation mode, on the images' device.

    Raises:
        ValueError: the views are not for these images, or not for this network.
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
    """Refuse a network that can't be applied to whole images of any size.

    Where global average pooling and one linear layer end a network, its logits for a larger image are the average of
    the fully convolutional network's over all positions. Others have several linear layers, or pool to a fixed grid.

    Raises:
        ValueError: naming what is in the way.
    """
    problems: list[str] = []
    linear_layers: list[nn.Linear] = []

    def note(module: nn.Module, _: object, output: object) -> None:
        if isinstance(module, nn.Linear):
            linear_layers.append(module)
        elif isinstance(module, nn.AdaptiveAvgPool2d) and isinstance(output, Tensor) and output[0, 0].numel() > 1:
            problems.append(f"it pools to {output.shape[2]}×{output.shape[3]} positions")

    channels, height, width = images.shape
    larger = width + width // 2
    with ExitStack() as hooks:
        for module in network.modules():
            hooks.enter_context(module.register_forward_hook(note))
        try:
            network(torch.zeros(1, channels, height, larger, device=images.device))
        except RuntimeError as error:
            problems.append(f"an image of {larger}×{height} pixels fails: {error}")
    if len(linear_layers) > 1:
        problems.append(f"it ends in {len(linear_layers)} linear layers")
    if problems:
        raise ValueError(
            "evaluate.views: 'multi_scale': needs a network that ends in global average pooling and one linear layer, "
            f"and this one doesn't: {problems[0]}; allowed are 'single' and 'ten_crop'"
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
