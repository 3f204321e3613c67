"""Hooks on layers: functions that are called with a layer's input or output during a forward pass."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class Seen:
    """The identity of a tensor and its version: two are equal unless the tensor was changed in place in between."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor, self._version = tensor, tensor._version

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seen) and self._tensor is other._tensor and self._version == other._version

    def __hash__(self) -> int:
        return hash((id(self._tensor), self._version))


def on_input(layer: nn.Module, function: Callable[[Tensor], None]) -> RemovableHandle:
    """Call `function(x)` with the input x of each pass through a layer; use the handle as a context to remove the hook.

    The function must copy the values that it needs: later layers may change x in place.
    """

    def call(_layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        function(arguments[0])

    return layer.register_forward_pre_hook(call)


def on_output(layer: nn.Module, function: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call `function(y)` with the output y of each pass through a layer; a result other than None replaces y."""

    def call(_layer: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        return function(output)

    return layer.register_forward_hook(call)
