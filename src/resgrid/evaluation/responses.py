"""Layer responses (paper, Fig. 7) and residual sizes, measured with hooks on a trained network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn

from resgrid.evaluation.blocks import Block
from resgrid.evaluation.hooks import Seen, on_input, on_output

NORMALIZATION = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)  # pyright: ignore[reportPrivateUsage]

LabeledBatches = Iterable[tuple[Tensor, Tensor]]


def layer_responses(network: nn.Module, batches: LabeledBatches) -> dict[str, float]:
    """Measure the standard deviation of each 3×3 convolution's response over all images, positions and channels.

    The response is the output "after BN and before other nonlinearity (ReLU/addition)" (Fig. 7): the output of the
    normalization layer that directly follows the convolution, or of the convolution itself without such a layer.

    Args:
        network: in evaluation mode, so that batch normalization uses its running statistics.
        batches: images (b, C, H, W) and labels, which are ignored.

    Returns:
        The deviations by the convolution's name, in the order of depth; empty without 3×3 convolutions.
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
    """Find the layer whose output is the response of each 3×3 convolution, by the convolution's name.

    Args:
        images: any images (N, C, H, W) that fit the network, on its device.
    """
    found: dict[str, nn.Module] = {}
    convolution_of: dict[Seen, str] = {}

    def after_convolution(name: str, layer: nn.Module, output: Tensor) -> None:
        found[name] = layer
        convolution_of[Seen(output)] = name

    def before_normalization(layer: nn.Module, x: Tensor) -> None:
        name = convolution_of.get(Seen(x))
        if name is not None:
            found[name] = layer

    with ExitStack() as hooks, torch.no_grad():
        for name, layer in network.named_modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                hooks.enter_context(on_output(layer, partial(after_convolution, name, layer)))
            elif isinstance(layer, NORMALIZATION):
                hooks.enter_context(on_input(layer, partial(before_normalization, layer)))
        network(images)
    return found


class Moments:
    """The standard deviation of all numbers in the added tensors, accumulated in float64 on their device."""

    def __init__(self) -> None:
        self._count = 0
        self._mean: Tensor | float = 0.0
        self._squares: Tensor | float = 0.0  # sum of squared deviations from the mean

    def add(self, values: Tensor) -> None:
        """Add the numbers of a tensor, pairwise as in Chan, Golub and LeVeque 1979, which avoids cancellation."""
        variance, mean = torch.var_mean(values.double(), correction=0)
        count, total = values.numel(), self._count + values.numel()
        shift = mean - self._mean
        self._mean = self._mean + shift * (count / total)
        self._squares = self._squares + variance * count + shift.square() * (self._count * count / total)
        self._count = total

    @property
    def std(self) -> float:
        """The population standard deviation."""
        return (float(self._squares) / self._count) ** 0.5


def residual_ratios(network: nn.Module, blocks: Sequence[Block], batches: LabeledBatches) -> list[float | None]:
    """Measure ‖F(x)‖ / ‖shortcut(x)‖ of each block, averaged over images; None for a plain block.

    The norms are Euclidean, over all channels and positions of an image. If the shortcut's output is zero for an image,
    the mean is infinite or NaN.

    Args:
        network: in evaluation mode.
        batches: images (b, C, H, W) and labels, which are ignored.
    """
    ratios = [None if block.residual_end is None else _Ratio() for block in blocks]
    count = 0
    with ExitStack() as hooks, torch.no_grad():
        for block, ratio in zip(blocks, ratios, strict=True):
            if block.residual_end is None or ratio is None:
                continue
            hooks.enter_context(on_output(block.residual_end, ratio.set_residual))
            if block.shortcut is None:
                hooks.enter_context(on_input(block.module, ratio.set_shortcut))
            else:
                hooks.enter_context(on_output(block.shortcut, ratio.set_shortcut))
            hooks.enter_context(on_output(block.module, ratio.add))
        for images, _ in batches:
            network(images)
            count += len(images)
    return [None if ratio is None else float(ratio.sum) / count for ratio in ratios]


class _Ratio:
    """The sum of one block's ratios over images; a block can compute its two summands in either order."""

    def __init__(self) -> None:
        self.sum: Tensor | float = 0.0
        self._residual = self._shortcut = torch.empty(0)

    def set_residual(self, y: Tensor) -> None:
        self._residual = _norms(y)

    def set_shortcut(self, x: Tensor) -> None:
        self._shortcut = _norms(x)

    def add(self, _output: Tensor) -> None:
        self.sum = self.sum + (self._residual / self._shortcut).sum()


def _norms(values: Tensor) -> Tensor:
    """Return the Euclidean norm of each image's values (N, C, H, W): float64 (N,)."""
    return torch.linalg.vector_norm(values, dim=(1, 2, 3), dtype=torch.float64)
