"""Finding a network's blocks, and what each adds to its shortcut, from one pass, whatever they are made of."""

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
    """A block of a network: of a residual one, which adds F(x) to shortcut(x), or of a plain one, which adds nothing.

    Attributes:
        name: its path in the network, such as `layer1.0`.
        module: the whole block.
        residual_end: the layer whose output is F(x); None for a plain block.
        shortcut: the layer whose output is shortcut(x); None where x itself is added, or the block is plain.
    """

    name: str
    module: nn.Module
    residual_end: nn.Module | None
    shortcut: nn.Module | None


def find_blocks(network: nn.Module, images: Tensor) -> list[Block]:
    """The blocks in the order of depth; none for a network that is not made of blocks (VGG, DenseNet).

    A block is a module with an attribute `shortcut` (None: plain) or, as in torchvision's ResNets, `downsample` (None:
    x itself is added). F(x) is what the pass adds to the shortcut's output, wherever norms and activations stand; a
    block that adds something else than a layer's output is left out.

    Args:
        images: any (N, C, H, W) that the network takes, on its device.
    """
    candidates = {
        name: module
        for name, module in network.named_modules()
        if hasattr(module, "shortcut") or hasattr(module, "downsample")
    }
    taken: dict[nn.Module, Seen] = {}
    given: dict[nn.Module, Seen] = {}
    with ExitStack() as hooks, torch.no_grad(), _Additions() as additions:
        for block in candidates.values():
            hooks.enter_context(on_input(block, partial(_note, taken, block)))
            for layer in block.modules():
                hooks.enter_context(on_output(layer, partial(_note, given, layer)))
        network(images)

    blocks: list[Block] = []
    for name, block in candidates.items():
        shortcut = _shortcut(block)
        if _is_plain(block):
            blocks.append(Block(name, block, None, None))
            continue
        residual = additions.counterpart(taken[block] if shortcut is None else given[shortcut])
        ends = [layer for layer in block.modules() if given.get(layer) == residual]
        if ends:
            blocks.append(Block(name, block, ends[-1], shortcut))
    return blocks


class _Additions(TorchFunctionMode):
    """Notes which tensors are added to each other while it is on."""

    def __init__(self) -> None:
        super().__init__()
        self._pairs: list[tuple[Seen, Seen]] = []

    def counterpart(self, summand: Seen) -> Seen | None:
        """What was added to `summand`, or None."""
        for first, second in self._pairs:
            if summand in (first, second):
                return second if summand == first else first
        return None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.__name__ in ("add", "add_"):  # `+`, `+=` and torch.add arrive under these names
            match args:
                case (Tensor() as first, Tensor() as second):
                    self._pairs.append((Seen(first), Seen(second)))
        return func(*args, **(kwargs or {}))


def _note(sights: dict[nn.Module, Seen], layer: nn.Module, values: Tensor) -> None:
    sights[layer] = Seen(values)


def _shortcut(block: nn.Module) -> nn.Module | None:
    return block.shortcut if hasattr(block, "shortcut") else block.downsample  # pyright: ignore[reportReturnType]


def _is_plain(block: nn.Module) -> bool:
    return hasattr(block, "shortcut") and block.shortcut is None
