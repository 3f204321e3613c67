"""Finding a network's blocks from its structure and from one pass, whatever they are made of."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from resgrid.evaluation.hooks import on_output

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)  # pyright: ignore[reportPrivateUsage]


@dataclass(frozen=True)
class Block:
    """A block of a network, y = activation(F(x) + shortcut(x)), or of a plain one, y = activation(F(x)).

    Attributes:
        name: its path in the network, such as `layer1.0`.
        module: the whole block.
        residual_end: the layer whose output is F(x), just before the addition; None for a plain block.
        shortcut: the layer whose output is shortcut(x); None where x itself is added, or the block is plain.
    """

    name: str
    module: nn.Module
    residual_end: nn.Module | None
    shortcut: nn.Module | None


def find_blocks(network: nn.Module, images: Tensor) -> list[Block]:
    """The blocks in the order of depth; none for a network that is not made of blocks (VGG, DenseNet).

    A block is a module with an attribute `shortcut` (None: plain) or, as in torchvision's ResNets, `downsample` (None:
    x itself is added). F ends with the last convolution or norm that runs in the block outside its shortcut.

    Args:
        images: any (N, C, H, W) that the network takes, on its device.
    """
    candidates = {
        name: module
        for name, module in network.named_modules()
        if hasattr(module, "shortcut") or hasattr(module, "downsample")
    }
    last_run: dict[str, nn.Module] = {}

    def note(name: str, layer: nn.Module, _output: Tensor) -> None:
        last_run[name] = layer

    with ExitStack() as hooks, torch.no_grad():
        for name, block in candidates.items():
            for layer in _layers_beside(block, _shortcut(block)):
                hooks.enter_context(on_output(layer, partial(note, name, layer)))
        network(images)
    return [
        Block(name, block, None if _is_plain(block) else last_run[name], _shortcut(block))
        for name, block in candidates.items()
        if name in last_run
    ]


def _shortcut(block: nn.Module) -> nn.Module | None:
    return block.shortcut if hasattr(block, "shortcut") else block.downsample  # pyright: ignore[reportReturnType]


def _is_plain(block: nn.Module) -> bool:
    return hasattr(block, "shortcut") and block.shortcut is None


def _layers_beside(block: nn.Module, shortcut: nn.Module | None) -> list[nn.Module]:
    excluded = set(shortcut.modules()) if shortcut is not None else set()
    return [layer for layer in block.modules() if isinstance(layer, (nn.Conv2d, *NORMS)) and layer not in excluded]
