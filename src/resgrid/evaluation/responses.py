"""Layer responses (paper, Fig. 7) and the size of residuals, measured with hooks on a trained network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn

from resgrid.evaluation.blocks import Block
from resgrid.evaluation.hooks import Seen, on_input, on_output

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)  # pyright: ignore[reportPrivateUsage]

LabeledBatches = Iterable[tuple[Tensor, Tensor]]


def layer_responses(network: nn.Module, batches: LabeledBatches) -> dict[str, float]:
    """The standard deviation of each 3×3 convolution's response over all images, positions and channels.

    The response is the output "after BN and before other nonlinearity (ReLU/addition)" (Fig. 7): that of the norm
    which takes the convolution's output, or the convolution's own where no norm follows it directly.

    Args:
        network: in evaluation mode: its norms use their running statistics.
        batches: of images (b, C, H, W), and labels, which are not looked at.

    Returns:
        By the convolution's name, in the order of depth; empty for a network without 3×3 convolutions.
    """
    images, _ = next(iter(batches))
    moments: dict[str, Moments] = {}
    with ExitStack() as hooks, torch.no_grad():
        for name, layer in response_layers(network, images[:2]).items():
            moments[name] = Moments()
            hooks.enter_context(on_output(layer, moments[name].add))
        for images, _ in batches:
            network(images)
    return {name: of_layer.std for name, of_layer in moments.items()}


def response_layers(network: nn.Module, images: Tensor) -> dict[str, nn.Module]:
    """For each 3×3 convolution, by name, the layer whose output is its response: its norm, or itself.

    Args:
        images: any (N, C, H, W) that the network takes, on its device.
    """
    found: dict[str, nn.Module] = {}
    convolution_of: dict[Seen, str] = {}

    def after_convolution(name: str, layer: nn.Module, output: Tensor) -> None:
        found[name] = layer
        convolution_of[Seen(output)] = name

    def before_norm(layer: nn.Module, taken: Tensor) -> None:
        name = convolution_of.get(Seen(taken))
        if name is not None:
            found[name] = layer

    with ExitStack() as hooks, torch.no_grad():
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                hooks.enter_context(on_output(layer, partial(after_convolution, name, layer)))
            elif isinstance(layer, NORMS):
                hooks.enter_context(on_input(layer, partial(before_norm, layer)))
        network(images)
    return found


class Moments:
    """The standard deviation of all numbers in the tensors that were added, in float64, on the tensors' device."""

    def __init__(self) -> None:
        self._count = 0
        self._mean: Tensor | float = 0.0
        self._squares: Tensor | float = 0.0  # summed, of the deviations from the mean

    def add(self, values: Tensor) -> None:
        """Pool pairwise (Chan, Golub and LeVeque 1979), so that no digits cancel."""
        variance, mean = torch.var_mean(values.double(), correction=0)
        count, total = values.numel(), self._count + values.numel()
        shift = mean - self._mean
        self._mean = self._mean + shift * (count / total)
        self._squares = self._squares + variance * count + shift.square() * (self._count * count / total)
        self._count = total

    @property
    def std(self) -> float:
        """Of the population: of the numbers themselves."""
        return (float(self._squares) / self._count) ** 0.5


def residual_ratios(network: nn.Module, blocks: Sequence[Block], batches: LabeledBatches) -> list[float | None]:
    """‖F(x)‖ / ‖shortcut(x)‖ of each block, averaged over images; None for a plain block.

    The norms are Euclidean, over all channels and positions of an image. An image whose shortcut is zero everywhere
    makes the mean infinite or NaN.

    Args:
        network: in evaluation mode.
        batches: of images (b, C, H, W), and labels, which are not looked at.
    """
    ratios = [None if block.residual_end is None else _Ratio() for block in blocks]
    count = 0
    with ExitStack() as hooks, torch.no_grad():
        for block, ratio in zip(blocks, ratios, strict=True):
            if block.residual_end is None or ratio is None:
                continue
            hooks.enter_context(on_output(block.residual_end, ratio.take_residual))
            if block.shortcut is None:
                hooks.enter_context(on_input(block.module, ratio.take_shortcut))
            else:
                hooks.enter_context(on_output(block.shortcut, ratio.take_shortcut))
            hooks.enter_context(on_output(block.module, ratio.add))
        for images, _ in batches:
            network(images)
            count += len(images)
    return [None if ratio is None else float(ratio.sum) / count for ratio in ratios]


class _Ratio:
    """Adds up the ratios of one block: its two norms come in the order in which the block computes them."""

    def __init__(self) -> None:
        self.sum: Tensor | float = 0.0
        self._residual = self._shortcut = torch.empty(0)

    def take_residual(self, y: Tensor) -> None:
        self._residual = _norms(y)

    def take_shortcut(self, x: Tensor) -> None:
        self._shortcut = _norms(x)

    def add(self, _output: Tensor) -> None:
        self.sum = self.sum + (self._residual / self._shortcut).sum()


def _norms(values: Tensor) -> Tensor:
    """(N, C, H, W) to float64 (N,)."""
    return torch.linalg.vector_norm(values, dim=(1, 2, 3), dtype=torch.float64)
