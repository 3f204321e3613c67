"""Looking into a network while it computes: functions that are called with what a layer takes or gives."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


class Seen:
    """A tensor as it is now: equal to another sight of the same tensor, unless it was changed in place in between."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor, self._version = tensor, tensor._version

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Seen) and self._tensor is other._tensor and self._version == other._version

    def __hash__(self) -> int:
        return hash((id(self._tensor), self._version))


def on_input(layer: nn.Module, function: Callable[[Tensor], None]) -> RemovableHandle:
    """Call `function(x)` before each pass through a layer of one input; the handle, as a context, ends it.

    A function that wants the values must take them at once: later layers may change a tensor in place.
    """

    def call(_layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        function(arguments[0])

    return layer.register_forward_pre_hook(call)


def on_output(layer: nn.Module, function: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call `function(y)` after each pass through a layer; an answer other than None replaces the output."""

    def call(_layer: nn.Module, _arguments: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        return function(output)

    return layer.register_forward_hook(call)
