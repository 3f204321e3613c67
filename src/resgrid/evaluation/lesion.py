"""Lesion study: the test error of a trained network when one block is dropped.

After Veit, Wilber and Belongie 2016, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks"
(arXiv 1605.06431), section 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from resgrid.evaluation.blocks import Block
from resgrid.evaluation.hooks import on_output
from resgrid.evaluation.responses import LabeledBatches
from resgrid.models.blocks import ZeroPadShortcut


def lesion_errors(network: nn.Module, blocks: Sequence[Block], batches: LabeledBatches) -> tuple[float, list[float]]:
    """Measure the error in percent of the intact network, and with each block dropped in turn.

    Dropping a residual block sets F(x) to zero and keeps the shortcut. A dropped plain block becomes the identity; if
    it changes the shape, its input is subsampled and padded with zero channels, like shortcuts of option A.

    Args:
        network: in evaluation mode; unchanged afterwards.
        batches: images (b, C, H, W) and labels (b,). They are iterated once: each batch is tested with every lesion.
    """
    wrong: list[Tensor | int] = [0] * (1 + len(blocks))
    count = 0
    with torch.inference_mode():
        for images, labels in batches:
            wrong[0] = wrong[0] + _count_wrong(network, images, labels)
            for index, block in enumerate(blocks, start=1):
                with _drop(block):
                    wrong[index] = wrong[index] + _count_wrong(network, images, labels)
            count += len(labels)
    intact, *lesions = (100 * int(number) / count for number in wrong)
    return intact, lesions


def _drop(block: Block) -> RemovableHandle:
    """Drop a block as long as the returned handle, used as a context, is open."""
    if block.residual_end is not None:
        return on_output(block.residual_end, torch.zeros_like)
    return block.module.register_forward_hook(_input_in_shape_of_output)


def _input_in_shape_of_output(_block: nn.Module, arguments: tuple[Tensor], output: Tensor) -> Tensor:
    (x,) = arguments
    if x.shape == output.shape:
        return x
    stride = -(-x.shape[2] // output.shape[2])  # rounded up, as the output size of a strided convolution is
    return ZeroPadShortcut(x.shape[1], output.shape[1], stride)(x)


def _count_wrong(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return (network(images).argmax(dim=1) != labels).sum()
