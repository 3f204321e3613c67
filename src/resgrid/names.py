"""The grammar of network names, such as `resnet56-A`: the one parser."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Literal

Shortcut = Literal["none", "A", "B", "C"]

Norm = Literal["paper", "latenorm", "addnorm", "nonorm", "preact"]

Activation = Literal["relu", "leaky", "sigmoid", "tanh"]

# Blocks in each stage of the ImageNet networks (Table 1), by depth; from depth 50 on they are bottlenecks.
IMAGENET_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}

_FIRST_BOTTLENECK_DEPTH = 50

# What each modifier of a plain or residual name sets.
_MODIFIERS: dict[str, tuple[str, Any]] = {
    "imagenet": ("images", "imagenet"),
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

# Networks of one fixed form: family and depth. VGG for small images has two linear layers less than its name says.
_FIXED: dict[str, tuple[str, int]] = {
    "alexnet": ("alexnet", 8),
    **{f"vgg{depth}-cifar": ("vgg", depth - 2) for depth in (11, 13, 16, 19)},
    "inception-cifar": ("inception", 12),
    "googlenet-cifar": ("inception", 20),
}

_FORMS = (
    "plain<depth>, resnet<depth>-<A|B|C>, either with modifiers, densenet<depth>[-bc][-k<growth>], "
    f"{', '.join(_FIXED)}, torchvision-<builder>; such as plain20, resnet56-A, resnet50-imagenet-B"
)

_CIFAR_DEPTHS = "6n+2 (8, 14, 20, 32, 44, 56, 110, …)"

_BOTTLENECK_DEPTHS = "9n+2 (11, 20, 29, 56, 110, 164, …)"

_GROWING = re.compile(r"(?P<family>plain|resnet|densenet)(?P<depth>[1-9][0-9]*)")

_BUILDER = re.compile(r"[a-z][a-z0-9_]*")

_GROWTH = re.compile(r"k(?P<growth>[1-9][0-9]*)")

_DEPTH_OF_BUILDER = re.compile(r"(?:wide_)?(?:vgg|resnet|resnext|densenet)(?P<depth>[0-9]+)(?:_.*)?")


@dataclass(frozen=True, kw_only=True)
class Network(ABC):
    """What a network name says.

    Attributes:
        depth: weighted layers on the longest path, as the paper counts them: convolutions and linear layers, without
            those of shortcuts. None where a torchvision builder's name doesn't say it.
        shortcut: `none` for everything but residual networks; `A` zero-padding identity, `B` projection where the
            dimensions grow, `C` projection everywhere (section 3.3 and Table 3).
    """

    depth: int | None
    shortcut: Shortcut = "none"

    @property
    @abstractmethod
    def name(self) -> str:
        """The one name of this network."""

    @property
    @abstractmethod
    def family(self) -> str:
        """The family's name, such as `resnet`, by which MLflow's runs can be filtered."""

    @property
    def module(self) -> str:
        """The module in `resgrid.models.families` that builds the network."""
        return self.family

    @property
    def plain_counterpart(self) -> str | None:
        """The name of the same network without shortcuts; None where there is none."""
        return None


@dataclass(frozen=True, kw_only=True)
class PlainOrResidual(Network):
    """A plain or residual network of the paper, for small images (section 4.2) or for ImageNet's (Table 1).

    Attributes:
        images: which of the two.
        bottleneck: blocks of 1×1, 3×3 and 1×1 convolutions (Fig. 5, right) instead of two 3×3.
        stride_in: the convolution of a bottleneck that halves the size: the first `1x1` (the paper), or the `3x3`.
        norm: where batch norm stands; `resgrid.models.blocks` gives the formulas.
        activation: after the convolutions.
    """

    depth: int
    images: Literal["cifar", "imagenet"] = "cifar"
    bottleneck: bool = False
    stride_in: Literal["1x1", "3x3"] = "1x1"
    norm: Norm = "paper"
    activation: Activation = "relu"

    @property
    def name(self) -> str:
        parts = [
            f"{self.family}{self.depth}",
            "imagenet" if self.images == "imagenet" else "",
            self.shortcut if self.shortcut != "none" else "",
            "bottleneck" if self.bottleneck and self.images == "cifar" else "",
            "stride3x3" if self.stride_in == "3x3" else "",
            self.norm if self.norm != "paper" else "",
            self.activation if self.activation != "relu" else "",
        ]
        return "-".join(filter(None, parts))

    @property
    def family(self) -> str:
        return "plain" if self.shortcut == "none" else "resnet"

    @property
    def module(self) -> str:
        return self.images

    @property
    def blocks_per_stage(self) -> tuple[int, ...]:
        """For small images n in each of three stages, of 6n+2, or 9n+2 with bottlenecks; for ImageNet by Table 1."""
        if self.images == "imagenet":
            return IMAGENET_BLOCKS[self.depth]
        return ((self.depth - 2) // (9 if self.bottleneck else 6),) * 3

    @property
    def plain_counterpart(self) -> str | None:
        if self.shortcut == "none":
            return None
        # Without shortcuts there is no addition to stand after or before: these two are the paper's order then.
        norm: Norm = "paper" if self.norm in ("addnorm", "preact") else self.norm
        return replace(self, shortcut="none", norm=norm).name


@dataclass(frozen=True, kw_only=True)
class DenseNetwork(Network):
    """A DenseNet for small images (Huang et al., arXiv 1608.06993, section 3).

    Attributes:
        growth: channels that each layer adds, the paper's k.
        compressed: with bottleneck layers, and half the channels after each transition: DenseNet-BC.
    """

    depth: int
    growth: int = 12
    compressed: bool = False

    @property
    def name(self) -> str:
        growth = f"k{self.growth}" if self.growth != 12 else ""
        parts = [f"densenet{self.depth}", "bc" if self.compressed else "", growth]
        return "-".join(filter(None, parts))

    @property
    def family(self) -> str:
        return "densenet"

    @property
    def layers_per_stage(self) -> int:
        """The n of 3n+4, or of 6n+4 with bottlenecks: layers in each of the three dense blocks."""
        return (self.depth - 4) // (6 if self.compressed else 3)


@dataclass(frozen=True, kw_only=True)
class FixedNetwork(Network):
    """A network of one fixed form, such as `vgg16-cifar`."""

    depth: int
    key: str

    @property
    def name(self) -> str:
        return self.key

    @property
    def family(self) -> str:
        return _FIXED[self.key][0]


@dataclass(frozen=True, kw_only=True)
class TorchvisionNetwork(Network):
    """A classification network of torchvision; whether `builder` exists is known to torchvision alone."""

    builder: str

    @property
    def name(self) -> str:
        return f"torchvision-{self.builder}"

    @property
    def family(self) -> str:
        return "torchvision"

    @property
    def module(self) -> str:
        return "torchvision_networks"


def parse_network(name: str) -> Network:
    """Read a network name.

    Raises:
        ValueError: the name means no network; the message says which part is wrong and what is allowed.
    """
    if name in _FIXED:
        return FixedNetwork(depth=_FIXED[name][1], key=name)
    head, *modifiers = name.split("-")
    if head == "torchvision":
        return _parse_torchvision(name)
    match = _GROWING.fullmatch(head)
    if match is None:
        raise ValueError(f"{name!r} is no network name; allowed are {_FORMS}")
    depth = int(match["depth"])
    if match["family"] == "densenet":
        network: Network = _parse_dense(name, depth, modifiers)
    else:
        network = _parse_plain_or_residual(name, match["family"], depth, modifiers)
    if network.name != name:
        raise ValueError(f"{name!r} is written {network.name!r}: one network has one name")
    return network


def _parse_plain_or_residual(name: str, family: str, depth: int, modifiers: list[str]) -> PlainOrResidual:
    values: dict[str, Any] = {}
    for modifier in modifiers:
        if modifier not in _MODIFIERS:
            raise ValueError(f"{name!r} has the modifier {modifier!r}; allowed are {', '.join(_MODIFIERS)}")
        key, value = _MODIFIERS[modifier]
        if key in values:
            raise ValueError(f"{name!r} says its {key} twice; allowed is one of {', '.join(_modifiers_of(key))}")
        values[key] = value
    if family == "resnet" and "shortcut" not in values:
        raise ValueError(f"{name!r} says no shortcut option; allowed are resnet{depth} with -A, -B or -C")
    if family == "plain" and "shortcut" in values:
        raise ValueError(
            f"{name!r} gives a plain network the shortcut {values['shortcut']}; allowed are plain<depth> without one "
            "and resnet<depth>-<A|B|C>"
        )
    if values.get("images") == "imagenet":
        if "bottleneck" in values:
            raise ValueError(
                f"{name!r} says bottleneck; allowed is that for small images only: of the ImageNet networks, "
                "those of depth 50, 101 and 152 have bottlenecks anyway"
            )
        values["bottleneck"] = depth >= _FIRST_BOTTLENECK_DEPTH
    network = PlainOrResidual(depth=depth, **values)
    _check_depth(name, network)
    if network.stride_in == "3x3" and not network.bottleneck:
        raise ValueError(f"{name!r} says stride3x3; allowed is that with bottlenecks only, as in resnet50-imagenet-B")
    if family == "plain" and network.norm in ("addnorm", "preact"):
        same = replace(network, norm="paper").name
        raise ValueError(
            f"{name!r}: without shortcuts {network.norm} is the paper's order of layers; allowed is {same}, "
            f"or {network.norm} with a residual network"
        )
    return network


def _check_depth(name: str, network: PlainOrResidual) -> None:
    depth = network.depth
    imagenet_depths = ", ".join(map(str, IMAGENET_BLOCKS))
    if network.images == "imagenet":
        if depth not in IMAGENET_BLOCKS:
            raise ValueError(f"{name!r} has depth {depth}; allowed for imagenet are {imagenet_depths}")
    elif network.bottleneck:
        if depth < 11 or (depth - 2) % 9:
            raise ValueError(f"{name!r} has depth {depth}; allowed with bottlenecks are {_BOTTLENECK_DEPTHS}")
    elif depth < 8 or (depth - 2) % 6:
        raise ValueError(
            f"{name!r} has depth {depth}; allowed are {_CIFAR_DEPTHS}, with -bottleneck {_BOTTLENECK_DEPTHS}, "
            f"with -imagenet {imagenet_depths}"
        )


def _parse_dense(name: str, depth: int, modifiers: list[str]) -> DenseNetwork:
    compressed, growth = False, 12
    for modifier in modifiers:
        match = _GROWTH.fullmatch(modifier)
        if modifier != "bc" and match is None:
            raise ValueError(f"{name!r} has the modifier {modifier!r}; allowed are bc and k<growth>, such as k24")
        compressed = compressed or modifier == "bc"
        growth = int(match["growth"]) if match else growth
    allowed, step = ("6n+4 (10, 16, 40, 100, 190, 250, …)", 6) if compressed else ("3n+4 (7, 10, 40, 100, …)", 3)
    if depth < step + 4 or (depth - 4) % step:
        raise ValueError(f"{name!r} has depth {depth}; allowed are {allowed}")
    return DenseNetwork(depth=depth, growth=growth, compressed=compressed)


def _parse_torchvision(name: str) -> TorchvisionNetwork:
    builder = name.removeprefix("torchvision").removeprefix("-")
    if _BUILDER.fullmatch(builder) is None:
        raise ValueError(
            f"{name!r} names the torchvision builder {builder!r}; allowed is torchvision-<builder> as torchvision "
            "writes it, in small letters, digits and _, such as torchvision-vgg16_bn"
        )
    depths = {"alexnet": 8, "googlenet": 22}
    match = _DEPTH_OF_BUILDER.fullmatch(builder)
    return TorchvisionNetwork(depth=int(match["depth"]) if match else depths.get(builder), builder=builder)


def _modifiers_of(key: str) -> list[str]:
    return [modifier for modifier, (set_by_it, _) in _MODIFIERS.items() if set_by_it == key]
