"""What a network costs, counted and not estimated: weighted layers, parameters, multiply-adds, kept activations,
receptive fields. Works on shapes alone (torch's `meta` device): 1202 layers take seconds and no memory."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from resgrid.models.build import build_network, count_parameters

POOLING = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
# Products of two tensors that both come from the image.
ATTENTION = ("matmul", "__matmul__", "bmm", "scaled_dot_product_attention", "multi_head_attention_forward")
# They change a map's shape, but not what its positions see.
SEEING_THE_SAME = ("pad", "permute", "linear")


@dataclass(frozen=True)
class Layer:
    """One module that has weights of its own, or pools.

    Attributes:
        path: of the module in the network, such as `layer2.0.conv1`.
        kind: its class.
        output: shape for one image, without the batch.
        depth: weighted layers (convolutions and linear layers) from the input to its output, on the longest path.
        parameters: of its own.
        multiply_adds: for one image.
        receptive_field: height and width of what one output position sees, in pixels of the input, as if the image
            went on without end; None behind the last map (linear layers see everything) and behind what is no
            window, such as attention.
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
    """What a network costs for one image.

    Attributes:
        depth: weighted layers on the longest path, as the paper counts them. A projection never lies on it: the block
            that it bridges is longer.
        parameters: trainable weights, those of batch norm included.
        multiply_adds: of convolutions (projections too) and linear layers, as the paper counts them; in transformers
            of attention as well.
        activation_bytes: what autograd keeps for the backward pass of each image in a batch, in fp32: the image, and
            the outputs that a gradient needs. What operations in place overwrite is not kept, and not counted.
        receptive_field: of one output position of the last convolution (with branches: of the widest), its longer
            side, in pixels of the input; it may exceed the image. None where it isn't known.
        parts: parameters by part: stem, stages, head; for networks that name no stages, by top-level module.
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
        """The numbers of the whole network, by name."""
        return {
            "depth": self.depth,
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "activation_bytes": self.activation_bytes,
            "receptive_field": self.receptive_field,
        }


def count_network(name: str, image: tuple[int, int, int], num_classes: int) -> NetworkCost:
    """Count the network that `name` says.

    Args:
        image: channels, height, width.
        num_classes: width of the output.

    Raises:
        ValueError: the name means no network, or the network can't take such an image.
    """
    try:
        with torch.device("meta"):
            network = build_network(name, num_classes, image[0])
    except NotImplementedError:  # RegNet computes its widths with tensors, which needs their values
        network = build_network(name, num_classes, image[0])
    try:
        return count(network, image)
    except RuntimeError as error:
        size = "×".join(map(str, image))
        raise ValueError(f"{name} can't be counted for images of {size}: {str(error).splitlines()[0]}") from error


def count(network: nn.Module, image: tuple[int, int, int]) -> NetworkCost:
    """Count any network.

    Args:
        network: from images (N, C, H, W) to logits; it is left as it is.
        image: channels, height, width.

    Raises:
        RuntimeError: the image is too small for the network.
    """
    network = copy.deepcopy(network).to("meta")
    layers, multiply_adds = _count_layers(network.eval(), image)
    fields = [layer.receptive_field for layer in layers if layer.kind == "Conv2d"]
    # Weights and batch norm's statistics, which any batch needs once, drop out of the difference of two batches.
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
    """Trainable weights of the stem, of each stage (children `layer1`, `layer2`, …), and of the head.

    Where no child is called so, each top-level child is a part.
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
    """One image through the network in evaluation mode, on shapes alone: the layers, and all multiply-adds."""
    x = torch.empty(1, *image, device="meta")
    tracer, flops = _PathTracer(x), FlopCounterMode(display=False)
    seen: list[tuple[str, nn.Module, tuple[int, ...], _Path]] = []

    def note(path: str) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, _inputs: object, output: object) -> None:
            for tensor in list(_tensors(output))[:1]:  # attention gives its weights as well
                seen.append((path, module, tuple(tensor.shape[1:]), tracer.path_to(tensor)))

        return hook

    with ExitStack() as stack:
        for path, module in network.named_modules():
            if isinstance(module, POOLING) or any(True for _ in module.parameters(recurse=False)):
                handle = module.register_forward_hook(note(path))
                stack.callback(handle.remove)
        stack.enter_context(torch.no_grad())
        stack.enter_context(flops)
        stack.enter_context(tracer)
        network(x)
    root, counts = type(network).__name__, flops.get_flop_counts()

    def multiply_adds(path: str) -> int:
        return sum(counts.get(f"{root}.{path}", {}).values()) // 2  # two operations make one

    def own_multiply_adds(path: str, module: nn.Module) -> int:
        if isinstance(module, POOLING):  # an average may be computed as a product of matrices
            return 0
        return multiply_adds(path) - sum(multiply_adds(f"{path}.{name}") for name, _ in module.named_children())

    layers = tuple(
        Layer(
            path=path,
            kind=type(module).__name__,
            output=shape,
            depth=trace.depth,
            parameters=sum(p.numel() for p in module.parameters(recurse=False) if p.requires_grad),
            multiply_adds=own_multiply_adds(path, module),
            receptive_field=trace.seen() if len(shape) == 3 else None,
        )
        for path, module, shape, trace in seen
    )
    averaging = sum(multiply_adds(path) for path, module in network.named_modules() if isinstance(module, POOLING))
    return layers, sum(counts["Global"].values()) // 2 - averaging


def _kept_bytes(network: nn.Module, batch: int, image: tuple[int, int, int]) -> int:
    """Bytes that autograd keeps of a forward pass in training, each storage once, weights among them."""
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage  # held, so that no other storage gets its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network(torch.empty(batch, *image, device="meta"))
    return sum(storage.nbytes() for storage in kept.values())


@dataclass(frozen=True)
class _Path:
    """How a tensor came about.

    Attributes:
        depth: weighted layers on the longest way to it.
        field: height and width that one position sees, in pixels of the input; None where it isn't known.
        jump: pixels of the input between two positions next to each other, downwards and sideways; a fraction where
            the network enlarges its input.
    """

    depth: int
    field: tuple[float, float] | None
    jump: tuple[float, float]

    def through(self, window: _Window | None, layers: int) -> _Path:
        """Behind weighted layers, and a window that slides over the map (None: something else)."""
        if window is None or self.field is None:
            return _Path(self.depth + layers, None, self.jump)
        rows, columns = (
            field + (size - 1) * jump for field, size, jump in zip(self.field, window.size, self.jump, strict=True)
        )
        jump = (self.jump[0] * window.stride[0], self.jump[1] * window.stride[1])
        return _Path(self.depth + layers, (rows, columns), jump)

    def seen(self) -> tuple[int, int] | None:
        return None if self.field is None else (math.ceil(self.field[0]), math.ceil(self.field[1]))


@dataclass(frozen=True)
class _Window:
    """Rows and columns of a window that slides over a map, and by how many it moves for the next output position."""

    size: Sequence[int]
    stride: Sequence[float]


_START = _Path(0, (1, 1), (1, 1))
_EACH_POSITION_ALONE = _Window((1, 1), (1, 1))


class _PathTracer(TorchFunctionMode):
    """Follows tensors through every torch function, so that code outside of modules counts as well: additions,
    concatenations, functional pooling, option A's subsampling."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        # With the tensors themselves: an id is a tensor's own as long as it lives.
        self._paths: dict[int, tuple[Tensor, _Path]] = {id(image): (image, _START)}

    def path_to(self, tensor: Tensor) -> _Path:
        """Of what comes from weights alone, such as a table of positions: the path of an input."""
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
        """Where ways join: the longest one, and the widest view."""
        paths = [self.path_to(source) for source in sources]
        fields = [path.field for path in paths if path.field is not None]
        return _Path(
            max(path.depth for path in paths),
            (max(rows for rows, _ in fields), max(columns for _, columns in fields))
            if len(fields) == len(paths)
            else None,
            # A global average that scales a map (squeeze and excitation) doesn't change how the map's positions lie.
            (min(path.jump[0] for path in paths), min(path.jump[1] for path in paths)),
        )


def _window(
    name: str, sources: list[Tensor], output: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> _Window | None:
    """The window through which an output position of a function sees its input; None where it is no window."""
    if name == "conv2d":
        weight, stride, dilation = (_argument(args, kwargs, *place) for place in CONVOLUTION)
        spread = [(size - 1) * step + 1 for size, step in zip(weight.shape[2:], _pair(dilation), strict=True)]
        return _Window(spread, _pair(stride))
    if name in ("max_pool2d", "avg_pool2d"):
        size, stride = _argument(args, kwargs, 1, "kernel_size", None), _argument(args, kwargs, 2, "stride", None)
        return _Window(_pair(size), _pair(stride or size))
    if name in ATTENTION and len(sources) > 1:
        return None
    before, after = sources[0].shape[2:], output.shape[2:]
    of_maps = output.ndim == 4 and sources[0].ndim == 4
    if not of_maps or name in SEEING_THE_SAME or any(source.shape[2:] == after for source in sources):
        return _EACH_POSITION_ALONE
    return _resizing_window(name, before, after, args)


def _resizing_window(name: str, before: Sequence[int], after: Sequence[int], args: tuple[Any, ...]) -> _Window | None:
    """Of functions that give a map of another size."""
    shares = [old / new for old, new in zip(before, after, strict=True)]
    if name.startswith("adaptive_") or name in ("matmul", "__matmul__") or tuple(after) == (1, 1):
        # Position i pools from floor(i × before / after) to ceil((i + 1) × before / after).
        return _Window([math.ceil(share) for share in shares], shares)
    if name == "interpolate":
        return _Window((2, 2), shares)
    if name == "__getitem__" and len(args[1]) == 4:
        return _Window((1, 1), [index.step or 1 for index in args[1][2:]])
    return None


# Of `torch.conv2d`: place, name and default of weight, stride and dilation.
CONVOLUTION: tuple[tuple[int, str, Any], ...] = ((1, "weight", None), (3, "stride", 1), (5, "dilation", 1))


def _argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], place: int, name: str, default: Any) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


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
