"""Exact counts of a network's layers, parameters, multiply-adds, kept activations and receptive fields.

Networks are traced on torch's `meta` device, which computes only shapes: 1202 layers take seconds and no memory.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from resgrid.models.build import build_network, count_parameters

POOLING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
# Functions that multiply two tensors, which in attention both depend on the image.
ATTENTION = ("matmul", "__matmul__", "bmm", "scaled_dot_product_attention", "multi_head_attention_forward")
# Functions that change a map's shape and not the receptive field of its positions.
POINTWISE = ("pad", "permute", "linear")


@dataclass(frozen=True)
class Layer:
    """A module that has weights of its own, or that pools.

    Attributes:
        path: name in the network, such as `layer2.0.conv1`.
        kind: name of the module's class.
        output: shape of the output for one image, without the batch dimension.
        depth: weighted layers (convolutions and linear layers) on the longest path from the input to the output.
        parameters: trainable weights, without those of submodules.
        multiply_adds: for one image, without those of submodules.
        receptive_field: height and width in input pixels on which one output position depends, for an image without
            borders. None where it is not known: in linear layers, and after functions without a window, such as
            attention.
    """

    path: str
    kind: str
    output: tuple[int, ...]
    depth: int
    parameters: int
    multiply_adds: int
    receptive_field: tuple[int, int] | None


@dataclass(frozen=True)
class NetworkCost:
    """The complexity of a network for one image.

    Attributes:
        depth: weighted layers on the longest path, as the paper counts them. Projections are never on this path: the
            convolutions of their block make a longer one.
        parameters: trainable weights, including those of batch norm.
        multiply_adds: those of convolutions (including projections), linear layers and attention; the paper calls them
            FLOPs.
        activation_bytes: bytes that autograd keeps for the backward pass for each image of a batch, in fp32: the image
            and the outputs that gradients need. Outputs that are overwritten in place are not kept.
        receptive_field: the longer side, in input pixels, of the largest receptive field of any convolution; it can
            exceed the image. None where it is not known.
        parts: parameters of stem, stages and head, or of each top-level module if the network has no modules `layer1`,
            `layer2` and so on.
        layers: in the order of computation.
    """

    depth: int
    parameters: int
    multiply_adds: int
    activation_bytes: int
    receptive_field: int | None
    parts: dict[str, int]
    layers: tuple[Layer, ...]

    def totals(self) -> dict[str, int | None]:
        """Return the counts of the whole network by name."""
        return {
            "depth": self.depth,
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "activation_bytes": self.activation_bytes,
            "receptive_field": self.receptive_field,
        }


def count_network(name: str, image: tuple[int, int, int], num_classes: int) -> NetworkCost:
    """Count a network by its name.

    Args:
        name: such as `resnet56-A`.
        image: channels, height and width.
        num_classes: number of logits.

    Raises:
        ValueError: the name is not valid, or the network doesn't accept such an image.
    """
    try:
        with torch.device("meta"):
            network = build_network(name, num_classes, image[0])
    except NotImplementedError:  # RegNet computes its widths with tensors, and needs their values
        network = build_network(name, num_classes, image[0])
    try:
        return count(network, image)
    except RuntimeError as error:
        size = "×".join(map(str, image))
        raise ValueError(f"{name!r}: fails on images of {size}: {str(error).splitlines()[0]}; use others") from error


def count(network: nn.Module, image: tuple[int, int, int]) -> NetworkCost:
    """Count any network.

    Args:
        network: maps images (N, C, H, W) to logits; it is not changed.
        image: channels, height and width.

    Raises:
        RuntimeError: the network doesn't accept such an image.
    """
    network = copy.deepcopy(network).to("meta")
    layers, multiply_adds = _count_layers(network.eval(), image)
    fields = [layer.receptive_field for layer in layers if layer.kind == "Conv2d"]
    # The difference of two batches has no bytes of weights and of batch norm's statistics, which are kept once.
    kept = [_kept_bytes(network.train(), batch, image) for batch in (2, 3)]
    return NetworkCost(
        depth=max(layer.depth for layer in layers),
        parameters=count_parameters(network),
        multiply_adds=multiply_adds,
        activation_bytes=kept[1] - kept[0],
        receptive_field=None if None in fields else max((max(field) for field in fields if field), default=None),
        parts=count_parts(network),
        layers=layers,
    )


def count_parts(network: nn.Module) -> dict[str, int]:
    """Count the trainable weights of the stem, of each stage (children `layer1`, `layer2`, …) and of the head.

    If there are no such children, each child is a part.
    """
    has_stages = any(re.fullmatch(r"layer\d+", name) for name, _ in network.named_children())
    parts: dict[str, int] = {}
    before = "stem"
    for name, child in network.named_children():
        part = name
        if has_stages:
            stage = re.fullmatch(r"layer(\d+)", name)
            part = f"stage {stage[1]}" if stage else before
            before = "head" if stage else before
        if parameters := count_parameters(child):
            parts[part] = parts.get(part, 0) + parameters
    return parts


def _count_layers(network: nn.Module, image: tuple[int, int, int]) -> tuple[tuple[Layer, ...], int]:
    """Trace one image through a network in evaluation mode; return its layers and all multiply-adds."""
    calls, flops = _trace(network, image)
    root, counts = type(network).__name__, flops.get_flop_counts()

    def multiply_adds(path: str) -> int:
        return sum(counts.get(f"{root}.{path}", {}).values()) // 2  # a multiply-add is two operations

    def own_multiply_adds(path: str, module: nn.Module) -> int:
        if isinstance(module, POOLING):  # averages can be matrix products, which the paper doesn't count
            return 0
        return multiply_adds(path) - sum(multiply_adds(f"{path}.{name}") for name, _ in module.named_children())

    layers = tuple(
        Layer(
            path=call.name,
            kind=type(call.module).__name__,
            output=call.output,
            depth=call.path.depth,
            parameters=sum(p.numel() for p in call.module.parameters(recurse=False) if p.requires_grad),
            multiply_adds=own_multiply_adds(call.name, call.module),
            receptive_field=call.path.receptive_field if len(call.output) == 3 else None,
        )
        for call in calls
    )
    averaging = sum(multiply_adds(path) for path, module in network.named_modules() if isinstance(module, POOLING))
    return layers, sum(counts["Global"].values()) // 2 - averaging


class _Call(NamedTuple):
    """A module's call: its name in the network, and the shape and path of its output."""

    name: str
    module: nn.Module
    output: tuple[int, ...]
    path: _Path


def _trace(network: nn.Module, image: tuple[int, int, int]) -> tuple[list[_Call], FlopCounterMode]:
    """Record the calls of modules that have weights or pool, and count operations."""
    x = torch.empty(1, *image, device="meta")
    tracer, flops = _PathTracer(x), FlopCounterMode(display=False)
    calls: list[_Call] = []

    def record(name: str, module: nn.Module, _inputs: object, output: object) -> None:
        for tensor in list(_tensors(output))[:1]:  # attention also returns its weights
            calls.append(_Call(name, module, tuple(tensor.shape[1:]), tracer.path_to(tensor)))

    with ExitStack() as stack:
        for name, module in network.named_modules():
            if isinstance(module, POOLING) or any(True for _ in module.parameters(recurse=False)):
                handle = module.register_forward_hook(partial(record, name))
                stack.callback(handle.remove)
        stack.enter_context(torch.no_grad())
        stack.enter_context(flops)
        stack.enter_context(tracer)
        network(x)
    return calls, flops


def _kept_bytes(network: nn.Module, batch: int, image: tuple[int, int, int]) -> int:
    """Count the bytes that autograd keeps of a training step's forward pass, including weights, each storage once."""
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage  # a reference, so that no other storage gets the same address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(torch.empty(batch, *image, device="meta"))
    return sum(storage.nbytes() for storage in kept.values())


@dataclass(frozen=True)
class _Path:
    """How a tensor was computed from the image.

    Attributes:
        depth: weighted layers on the longest path.
        field: height and width of the receptive field, in input pixels; None where it is not known.
        jump: vertical and horizontal distance between adjacent positions, in input pixels; a fraction where the network
            enlarges its input.
    """

    depth: int
    field: tuple[float, float] | None
    jump: tuple[float, float]

    def through(self, window: _Window | None, layers: int) -> _Path:
        """Return the path of a function's output, for its window (None: it has no window) and its weighted layers."""
        if window is None or self.field is None:
            return _Path(self.depth + layers, None, self.jump)
        rows, columns = (
            field + (size - 1) * jump for field, size, jump in zip(self.field, window.size, self.jump, strict=True)
        )
        jump = (self.jump[0] * window.stride[0], self.jump[1] * window.stride[1])
        return _Path(self.depth + layers, (rows, columns), jump)

    @property
    def receptive_field(self) -> tuple[int, int] | None:
        """Height and width in whole input pixels."""
        return None if self.field is None else (math.ceil(self.field[0]), math.ceil(self.field[1]))


@dataclass(frozen=True)
class _Window:
    """A window that slides over a map: its height and width, and its vertical and horizontal stride."""

    size: Sequence[int]
    stride: Sequence[float]


_START = _Path(0, (1, 1), (1, 1))
_ONE_POSITION = _Window((1, 1), (1, 1))


class _PathTracer(TorchFunctionMode):
    """Follows tensors through all torch functions, so that code outside of modules counts as well.

    Examples are additions, concatenations, functional pooling and the subsampling of option A.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        # The values include the tensors, because an id is unique only while its tensor exists.
        self._paths: dict[int, tuple[Tensor, _Path]] = {id(image): (image, _START)}

    def path_to(self, tensor: Tensor) -> _Path:
        """Return a tensor's path; for tensors that depend only on weights, such as position embeddings, the image's."""
        return self._paths.get(id(tensor), (tensor, _START))[1]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        sources = [tensor for tensor in _tensors((args, kwargs)) if id(tensor) in self._paths]
        if sources:
            for output in _tensors(result):
                self._paths[id(output)] = (output, self._path(func.__name__, sources, output, args, kwargs))
        return result

    def _path(
        self, name: str, sources: list[Tensor], output: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> _Path:
        window = _window(name, sources, output, args, kwargs)
        return self._widest(sources).through(window, layers=1 if name in ("conv2d", "linear") else 0)

    def _widest(self, sources: list[Tensor]) -> _Path:
        """Join paths: the largest depth, and the largest receptive field."""
        paths = [self.path_to(source) for source in sources]
        fields = [path.field for path in paths if path.field is not None]
        return _Path(
            max(path.depth for path in paths),
            (max(rows for rows, _ in fields), max(columns for _, columns in fields))
            if len(fields) == len(paths)
            else None,
            # A global average that scales a map (squeeze and excitation) doesn't change the map's distances.
            (min(path.jump[0] for path in paths), min(path.jump[1] for path in paths)),
        )


def _window(
    name: str, sources: list[Tensor], output: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> _Window | None:
    """Return the window of a torch function; None if its outputs don't depend on a window of its input."""
    if name == "conv2d":
        weight, stride, dilation = (_argument(args, kwargs, *argument) for argument in CONVOLUTION)
        spread = [(size - 1) * step + 1 for size, step in zip(weight.shape[2:], _pair(dilation), strict=True)]
        return _Window(spread, _pair(stride))
    if name in ("max_pool2d", "avg_pool2d"):
        size, stride = _argument(args, kwargs, 1, "kernel_size", None), _argument(args, kwargs, 2, "stride", None)
        return _Window(_pair(size), _pair(stride or size))
    if name in ATTENTION and len(sources) > 1:
        return None
    before, after = sources[0].shape[2:], output.shape[2:]
    of_maps = output.ndim == 4 and sources[0].ndim == 4
    if not of_maps or name in POINTWISE or any(source.shape[2:] == after for source in sources):
        return _ONE_POSITION
    return _resizing_window(name, before, after, args)


def _resizing_window(name: str, before: Sequence[int], after: Sequence[int], args: tuple[Any, ...]) -> _Window | None:
    """Return the window of a function whose output has another height or width."""
    shares = [old / new for old, new in zip(before, after, strict=True)]
    if name.startswith("adaptive_") or name in ("matmul", "__matmul__") or tuple(after) == (1, 1):
        # Position i pools from floor(i × before / after) to ceil((i + 1) × before / after).
        return _Window([math.ceil(share) for share in shares], shares)
    if name == "interpolate":
        return _Window((2, 2), shares)
    if name == "__getitem__" and len(args[1]) == 4:
        return _Window((1, 1), [index.step or 1 for index in args[1][2:]])
    return None


# Position, name and default of the arguments `weight`, `stride` and `dilation` of `torch.conv2d`.
CONVOLUTION: tuple[tuple[int, str, Any], ...] = ((1, "weight", None), (3, "stride", 1), (5, "dilation", 1))


def _argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], position: int, name: str, default: Any) -> Any:
    return args[position] if len(args) > position else kwargs.get(name, default)


def _pair(value: int | Sequence[int]) -> Sequence[int]:
    if isinstance(value, int):
        return (value, value)
    return value if len(value) == 2 else (value[0], value[0])


def _tensors(values: object) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, Mapping):
        yield from _tensors(tuple(values.values()))
    elif isinstance(values, (tuple, list)):
        for value in values:
            yield from _tensors(value)
