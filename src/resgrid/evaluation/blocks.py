"""Finds the blocks of any network, and the layer whose output each adds to its shortcut, from one forward pass."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from resgrid.evaluation.hooks import Seen, on_input, on_output


@dataclass(frozen=True)
class Block:
    """A block of a network: a residual block, which computes F(x) + shortcut(x), or a plain block, without an addition.

    Attributes:
        name: its name in the network, such as `layer1.0`.
        module: the whole block.
        residual_end: the layer whose output is F(x); None for a plain block.
        shortcut: the layer whose output is shortcut(x); None for an identity shortcut and for a plain block.
    """

    name: str
    module: nn.Module
    residual_end: nn.Module | None
    shortcut: nn.Module | None


def find_blocks(network: nn.Module, images: Tensor) -> list[Block]:
    """Find the blocks, in the order of depth; the list is empty for a network not made of blocks (VGG, DenseNet).

    A block is a module with an attribute `shortcut` (None for a plain block) or, as in torchvision's ResNets,
    `downsample` (None for an identity shortcut). F(x) is the tensor that the forward pass adds to the shortcut's
    output, for any order of normalization and activation. Blocks are left out if this tensor is not the output of a
    layer.

    Args:
        images: any images (N, C, H, W) that fit the network, on its device.
    """
    candidates = {
        name: module
        for name, module in network.named_modules()
        if hasattr(module, "shortcut") or hasattr(module, "downsample")
    }
    inputs: dict[nn.Module, Seen] = {}
    outputs: dict[nn.Module, Seen] = {}
    with ExitStack() as hooks, torch.no_grad(), _Additions() as additions:
        for block in candidates.values():
            hooks.enter_context(on_input(block, partial(_note, inputs, block)))
            for layer in block.modules():
                hooks.enter_context(on_output(layer, partial(_note, outputs, layer)))
        network(images)

    blocks: list[Block] = []
    for name, block in candidates.items():
        shortcut = _shortcut(block)
        if _is_plain(block):
            blocks.append(Block(name, block, None, None))
            continue
        residual = additions.other_summand(inputs[block] if shortcut is None else outputs[shortcut])
        ends = [layer for layer in block.modules() if outputs.get(layer) == residual]
        if ends:
            blocks.append(Block(name, block, ends[-1], shortcut))
    return blocks


class _Additions(TorchFunctionMode):
    """A mode that records which pairs of tensors are added."""

    def __init__(self) -> None:
        super().__init__()
        self._pairs: list[tuple[Seen, Seen]] = []

    def other_summand(self, summand: Seen) -> Seen | None:
        """Return the tensor that was added to `summand`, or None."""
        for first, second in self._pairs:
            if summand in (first, second):
                return second if summand == first else first
        return None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.__name__ in ("add", "add_"):  # the names of `+`, `+=` and torch.add
            match args:
                case (Tensor() as first, Tensor() as second):
                    self._pairs.append((Seen(first), Seen(second)))
        return func(*args, **(kwargs or {}))


def _note(seen: dict[nn.Module, Seen], layer: nn.Module, values: Tensor) -> None:
    seen[layer] = Seen(values)


def _shortcut(block: nn.Module) -> nn.Module | None:
    return block.shortcut if hasattr(block, "shortcut") else block.downsample  # pyright: ignore[reportReturnType]


def _is_plain(block: nn.Module) -> bool:
    return hasattr(block, "shortcut") and block.shortcut is None
