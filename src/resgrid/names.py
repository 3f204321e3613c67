"""The parser of network names, such as `resnet56-A`; `docs/networks.md` describes the grammar."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Literal

Shortcut = Literal["none", "A", "B", "C"]
Norm = Literal["paper", "latenorm", "addnorm", "nonorm", "preact"]
Activation = Literal["relu", "leaky", "sigmoid", "tanh"]

# Blocks in each stage of the ImageNet networks (Table 1), by depth. From depth 50 on, the blocks are bottlenecks.
IMAGENET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_FIRST_BOTTLENECK_DEPTH = 50

# The field that each modifier of a plain or residual network sets, and its value.
_MODIFIERS: dict[str, tuple[str, Any]] = {
    "imagenet": ("images", "imagenet"),
    "stem3x3": ("images", "stem3x3"),
    "A": ("shortcut", "A"),
    "B": ("shortcut", "B"),
    "C": ("shortcut", "C"),
    "bottleneck": ("bottleneck", True),
    "stride3x3": ("stride_in", "3x3"),
    "latenorm": ("norm", "latenorm"),
    "addnorm": ("norm", "addnorm"),
    "nonorm": ("norm", "nonorm"),
    "preact": ("norm", "preact"),
    "leaky": ("activation", "leaky"),
    "sigmoid": ("activation", "sigmoid"),
    "tanh": ("activation", "tanh"),
}

# Module and depth of the networks that have one fixed form. VGG for small images lacks two of VGG's linear layers.
_FIXED: dict[str, tuple[str, int]] = {
    "alexnet": ("alexnet", 8),
    **{f"vgg{depth}-cifar": ("vgg", depth - 2) for depth in (11, 13, 16, 19)},
    "inception-cifar": ("inception", 12),
    "googlenet-cifar": ("inception", 20),
}

_FORMS = (
    "plain<depth> or resnet<depth>-<A|B|C>, both with modifiers, densenet<depth>[-bc][-k<growth>], "
    f"{', '.join(_FIXED)} or torchvision-<builder>, such as plain20, resnet56-A or resnet50-imagenet-B"
)
_CIFAR_DEPTHS = "8, 14, 20, 32, 44, 56, 110, …"
_BOTTLENECK_DEPTHS = "11, 20, 29, 56, 110, 164, …"
_IMAGENET_DEPTHS = ", ".join(map(str, IMAGENET_BLOCKS))

_NUMBER = r"[1-9][0-9]{0,3}"
_HEAD = re.compile(rf"(?P<word>plain|resnet|densenet)(?P<depth>{_NUMBER})")
_GROWTH = re.compile(rf"k(?P<growth>{_NUMBER})")
_BUILDER = re.compile(r"[a-z][a-z0-9_]*")
_BUILDER_WITH_DEPTH = re.compile(r"(?:wide_)?(?:vgg|resnet|resnext|densenet)(?P<depth>[0-9]+)(?:_.*)?")
_BUILDER_DEPTHS = {"alexnet": 8, "googlenet": 22}


@dataclass(frozen=True, kw_only=True)
class Network(ABC):
    """A parsed network name.

    Attributes:
        depth: weighted layers on the longest path, as the paper counts them: convolutions and linear layers, without
            projections. None for torchvision networks whose names don't contain the depth.
        shortcut: `none` for all but residual networks; `A` zero-padded identity, `B` projection where the dimensions
            increase, `C` projection everywhere (section 3.3 and Table 3).
    """

    depth: int | None
    shortcut: Shortcut = "none"

    @property
    @abstractmethod
    def name(self) -> str:
        """The only name of this network."""

    @property
    @abstractmethod
    def module(self) -> str:
        """The module in `resgrid.models.families` that builds the network."""

    @property
    def kind(self) -> str:
        """The name without the depth, such as `resnet-A`; networks of one kind differ only in depth."""
        return self.name if self.depth is None else self.name.replace(str(self.depth), "", 1)

    @property
    def plain_counterpart(self) -> str | None:
        """The name of the same network without shortcuts; None for a network that is not residual."""
        return None


@dataclass(frozen=True, kw_only=True)
class PlainOrResidual(Network):
    """A plain or residual network of the paper, for small images (section 4.2) or ImageNet (Table 1).

    Attributes:
        images: the kind of images that the network is made for; `stem3x3` is the ImageNet network for small images,
            with a 3×3 stem and without max pooling.
        bottleneck: whether the blocks are 1×1, 3×3 and 1×1 convolutions (Fig. 5, right) instead of two 3×3.
        stride_in: the bottleneck's convolution that has the stride: the first `1x1` (the paper) or the `3x3`.
        norm: the position of batch norm; `resgrid.models.blocks` has the formulas.
        activation: the function after convolutions.
    """

    depth: int
    images: Literal["cifar", "imagenet", "stem3x3"] = "cifar"
    bottleneck: bool = False
    stride_in: Literal["1x1", "3x3"] = "1x1"
    norm: Norm = "paper"
    activation: Activation = "relu"

    @property
    def name(self) -> str:
        head = f"{'plain' if self.shortcut == 'none' else 'resnet'}{self.depth}"
        images, *others = self._modifiers
        return _join(head, images, self.shortcut if self.shortcut != "none" else "", *others)

    @property
    def module(self) -> str:
        return "cifar" if self.images == "cifar" else "imagenet"

    @property
    def modifier(self) -> str:
        """What the name has besides depth and shortcut option, such as `imagenet-nonorm`.

        Networks with equal modifiers differ only in depth and option; the paper's CIFAR-10 networks have none.
        """
        return _join(*self._modifiers)

    @property
    def _modifiers(self) -> list[str]:
        """In the order of the name; empty texts for defaults."""
        return [
            self.images if self.images != "cifar" else "",
            "bottleneck" if self.bottleneck and self.images == "cifar" else "",
            "stride3x3" if self.stride_in == "3x3" else "",
            self.norm if self.norm != "paper" else "",
            self.activation if self.activation != "relu" else "",
        ]

    @property
    def blocks_per_stage(self) -> tuple[int, ...]:
        """Blocks in each stage: n, where depth is 6n+2, or 9n+2 with bottlenecks; Table 1 for ImageNet."""
        if self.images != "cifar":
            return IMAGENET_BLOCKS[self.depth]
        return ((self.depth - 2) // (9 if self.bottleneck else 6),) * 3

    @property
    def plain_counterpart(self) -> str | None:
        if self.shortcut == "none":
            return None
        # Both norms differ from the paper's order only by the addition, which a plain network doesn't have.
        norm: Norm = "paper" if self.norm in ("addnorm", "preact") else self.norm
        return replace(self, shortcut="none", norm=norm).name


@dataclass(frozen=True, kw_only=True)
class DenseNetwork(Network):
    """A DenseNet for small images (Huang et al., arXiv 1608.06993, section 3).

    Attributes:
        growth: channels that each layer adds, the paper's k.
        compressed: whether it is a DenseNet-BC, with bottleneck layers and transitions that halve the channels.
    """

    depth: int
    growth: int = 12
    compressed: bool = False

    @property
    def name(self) -> str:
        growth = f"k{self.growth}" if self.growth != 12 else ""
        return _join(f"densenet{self.depth}", "bc" if self.compressed else "", growth)

    @property
    def module(self) -> str:
        return "densenet"

    @property
    def layers_per_stage(self) -> int:
        """Layers in each of the three dense blocks: n, where depth is 3n+4, or 6n+4 with bottlenecks."""
        return (self.depth - 4) // (6 if self.compressed else 3)


@dataclass(frozen=True, kw_only=True)
class FixedNetwork(Network):
    """A network that has one fixed form, such as `vgg16-cifar`."""

    depth: int
    key: str

    @property
    def name(self) -> str:
        return self.key

    @property
    def module(self) -> str:
        return _FIXED[self.key][0]


@dataclass(frozen=True, kw_only=True)
class TorchvisionNetwork(Network):
    """A classification network of torchvision; only torchvision can tell whether `builder` exists."""

    builder: str

    @property
    def name(self) -> str:
        return f"torchvision-{self.builder}"

    @property
    def module(self) -> str:
        return "torchvision_networks"


def parse_network(name: str) -> Network:
    """Parse a network name.

    Raises:
        ValueError: the name is not valid; the message names the wrong part and the allowed values.
    """
    if name in _FIXED:
        return FixedNetwork(depth=_FIXED[name][1], key=name)
    head, *modifiers = name.split("-")
    if head == "torchvision":
        return _parse_torchvision(name)
    match = _HEAD.fullmatch(head)
    if match is None:
        raise ValueError(f"{name!r}: not a network name; use {_FORMS}")
    depth = int(match["depth"])
    if match["word"] == "densenet":
        network: Network = _parse_dense(name, depth, modifiers)
    else:
        network = _parse_plain_or_residual(name, match["word"], depth, modifiers)
    if network.name != name:
        raise ValueError(f"{name!r}: each network has only one name; write {network.name!r}")
    return network


def _parse_plain_or_residual(name: str, word: str, depth: int, modifiers: list[str]) -> PlainOrResidual:
    values: dict[str, Any] = {}
    for modifier in modifiers:
        if modifier not in _MODIFIERS:
            raise ValueError(f"{name!r}: {modifier!r} is not a modifier; use {', '.join(_MODIFIERS)}")
        field, value = _MODIFIERS[modifier]
        if field in values:
            choices = [other for other, (set_field, _) in _MODIFIERS.items() if set_field == field]
            raise ValueError(f"{name!r}: sets its {field} twice; use one of {', '.join(choices)}")
        values[field] = value
    if word == "resnet" and "shortcut" not in values:
        raise ValueError(f"{name!r}: has no shortcut option; use resnet{depth} with -A, -B or -C")
    if word == "plain" and "shortcut" in values:
        option = values["shortcut"]
        raise ValueError(
            f"{name!r}: a plain network has no shortcut option; use plain{depth} or resnet{depth} with -{option}"
        )
    if "images" in values:
        if "bottleneck" in values:
            raise ValueError(
                f"{name!r}: ImageNet networks have bottlenecks from depth {_FIRST_BOTTLENECK_DEPTH} on; "
                "omit -bottleneck"
            )
        values["bottleneck"] = depth >= _FIRST_BOTTLENECK_DEPTH
    network = PlainOrResidual(depth=depth, **values)
    _check_depth(name, network)
    if network.stride_in == "3x3" and not network.bottleneck:
        raise ValueError(f"{name!r}: only bottlenecks can have stride3x3; use it as in resnet50-imagenet-B-stride3x3")
    if word == "plain" and network.norm in ("addnorm", "preact"):
        same = replace(network, norm="paper").name
        raise ValueError(
            f"{name!r}: without shortcuts, {network.norm} is the paper's order of layers; use {same}, "
            f"or {network.norm} with a residual network"
        )
    return network


def _check_depth(name: str, network: PlainOrResidual) -> None:
    depth = network.depth
    if network.images != "cifar":
        if depth not in IMAGENET_BLOCKS:
            raise ValueError(f"{name!r}: depth {depth} is not an ImageNet depth; use {_IMAGENET_DEPTHS}")
    elif network.bottleneck:
        if depth < 11 or (depth - 2) % 9:
            raise ValueError(f"{name!r}: depth {depth} is not 9n+2; use {_BOTTLENECK_DEPTHS}")
    elif depth < 8 or (depth - 2) % 6:
        raise ValueError(
            f"{name!r}: depth {depth} is not 6n+2; use {_CIFAR_DEPTHS}, or with -bottleneck {_BOTTLENECK_DEPTHS}, "
            f"or with -imagenet or -stem3x3 {_IMAGENET_DEPTHS}"
        )


def _parse_dense(name: str, depth: int, modifiers: list[str]) -> DenseNetwork:
    compressed, growth = False, 12
    for modifier in modifiers:
        match = _GROWTH.fullmatch(modifier)
        if modifier != "bc" and match is None:
            raise ValueError(f"{name!r}: {modifier!r} is not a modifier of DenseNets; use bc or k<growth>, such as k24")
        compressed = compressed or modifier == "bc"
        growth = int(match["growth"]) if match else growth
    form, depths, step = ("6n+4", "10, 16, 40, 100, 190, 250, …", 6) if compressed else ("3n+4", "7, 10, 40, 100, …", 3)
    if depth < step + 4 or (depth - 4) % step:
        raise ValueError(f"{name!r}: depth {depth} is not {form}; use {depths}")
    return DenseNetwork(depth=depth, growth=growth, compressed=compressed)


def _parse_torchvision(name: str) -> TorchvisionNetwork:
    builder = name.removeprefix("torchvision").removeprefix("-")
    if _BUILDER.fullmatch(builder) is None:
        raise ValueError(
            f"{name!r}: {builder!r} is not a torchvision builder; use lowercase letters, digits and _, "
            "as in torchvision-vgg16_bn"
        )
    match = _BUILDER_WITH_DEPTH.fullmatch(builder)
    return TorchvisionNetwork(depth=int(match["depth"]) if match else _BUILDER_DEPTHS.get(builder), builder=builder)


def _join(*parts: str) -> str:
    return "-".join(filter(None, parts))
