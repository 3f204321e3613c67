"""Building blocks of plain and residual networks: convolutions, with or without a shortcut around them.

A block computes F(x) + s(x). F consists of convolutions W, batch norms N and activations a; s is the shortcut. With two
convolutions:

| `norm` | block | source |
|---|---|---|
| `paper` | a(N W a(N W x) + s(x)) | the paper, section 3.4 and Fig. 2 |
| `latenorm` | N a(W N a(W x)) + s(x) | norm after each activation |
| `addnorm` | a(N(W a(N W x) + s(x))) | arXiv 1603.05027, Fig. 4b |
| `nonorm` | a(W a(W x) + s(x)), with biases | |
| `preact` | W a(N W a(N x)) + s(x) | arXiv 1603.05027, Fig. 4e: full pre-activation |

The blocks of plain networks omit `+ s(x)`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resgrid.names import Activation, Norm, PlainOrResidual, Shortcut

BOTTLENECK_EXPANSION = 4

# In place where possible: the input is a layer's output, which nothing else needs.
ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu_,
    "leaky": partial(F.leaky_relu, negative_slope=0.01, inplace=True),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def convolution(in_channels: int, out_channels: int, size: int, stride: int = 1, *, bias: bool = False) -> nn.Conv2d:
    """Build a convolution from (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).

    It has no bias by default: batch norm cancels it.
    """
    return nn.Conv2d(in_channels, out_channels, size, stride, padding=size // 2, bias=bias)


def normalization(channels: int, norm: Norm) -> nn.Module:
    """Build a batch norm, or the identity for networks without batch norm."""
    return nn.Identity() if norm == "nonorm" else nn.BatchNorm2d(channels)


def normalize_and_activate(x: Tensor, batch_norm: nn.Module, network: PlainOrResidual) -> Tensor:
    """Apply batch norm and activation after a convolution, in the network's order; the shape stays the same."""
    activate = ACTIVATIONS[network.activation]
    return batch_norm(activate(x)) if network.norm == "latenorm" else activate(batch_norm(x))


class ZeroPadShortcut(nn.Module):
    """Option A: the identity, subsampled by the stride and padded with zero channels (section 3.3, option A).

    It has no weights. Half of the zero channels precede the others and half follow, as in the well-known CIFAR
    implementations, so that their weights compute the same function here.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        extra = out_channels - in_channels
        self.padding = (0, 0, 0, 0, extra // 2, extra - extra // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], self.padding)


def build_shortcut(
    option: Shortcut, in_channels: int, out_channels: int, stride: int, norm: Norm = "paper"
) -> nn.Module | None:
    """Build the shortcut of a block (section 3.3, Table 3). Only this function distinguishes plain, A, B and C.

    Returns:
        None for a plain network; the identity where the dimensions stay the same (except with option C); otherwise
        zero padding (A) or a 1×1 convolution (B, C). The convolution has a batch norm if those of the block follow
        its convolutions.
    """
    if option == "none":
        return None
    grows = in_channels != out_channels or stride != 1
    if option == "C" or (option == "B" and grows):
        projection = nn.Sequential(convolution(in_channels, out_channels, 1, stride, bias=norm == "nonorm"))
        return projection.append(nn.BatchNorm2d(out_channels)) if norm in ("paper", "latenorm") else projection
    return ZeroPadShortcut(in_channels, out_channels, stride) if grows else nn.Identity()


class Block(nn.Module):
    """Base of basic blocks and bottlenecks: the order of layers, and the addition.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: 2 halves height and width.
        network: determines the shortcut option, the position of batch norm and the activation.
        opens_stage: whether it is the first block of its network stage. With pre-activation, the first norm and
            activation of such a block also feed its shortcut (arXiv 1603.05027, appendix).
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, network: PlainOrResidual, opens_stage: bool = False
    ) -> None:
        super().__init__()
        self.network, self.opens_stage = network, opens_stage
        # The name in state dicts is that of the usual implementations: torchvision's for ImageNet.
        self._shortcut_name = "downsample" if network.images == "imagenet" else "shortcut"
        self._build_layers(in_channels, out_channels, stride, network)
        # Not with add_module, which refuses `shortcut` because it is a property.
        self._modules[self._shortcut_name] = build_shortcut(
            network.shortcut, in_channels, out_channels, stride, network.norm
        )

    def _build_layers(self, in_channels: int, out_channels: int, stride: int, network: PlainOrResidual) -> None:
        raise NotImplementedError

    @property
    def layers(self) -> list[tuple[nn.Conv2d, nn.Module]]:
        """The convolutions, each with its batch norm."""
        raise NotImplementedError

    @property
    def shortcut(self) -> nn.Module | None:
        """The path around the convolutions; None in a plain network."""
        return self._modules[self._shortcut_name]

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride))."""
        network, activate = self.network, ACTIVATIONS[self.network.activation]
        if network.norm == "preact":
            return self._forward_preactivated(x)
        *inner, (last_conv, last_norm) = self.layers
        y = x
        for conv, norm in inner:
            y = normalize_and_activate(conv(y), norm, network)
        y = last_conv(y)
        if network.norm == "latenorm":
            return self._add_shortcut(last_norm(activate(y)), x)
        if network.norm == "addnorm":
            return activate(last_norm(self._add_shortcut(y, x)))
        return activate(self._add_shortcut(last_norm(y), x))

    def _forward_preactivated(self, x: Tensor) -> Tensor:
        (first_conv, first_norm), *others = self.layers
        activated = normalize_and_activate(x, first_norm, self.network)
        y = first_conv(activated)
        for conv, norm in others:
            y = conv(normalize_and_activate(y, norm, self.network))
        return self._add_shortcut(y, activated if self.opens_stage else x)

    def _add_shortcut(self, y: Tensor, x: Tensor) -> Tensor:
        """Return F(x) + s(x), or F(x) in a plain network."""
        return y if self.shortcut is None else y + self.shortcut(x)


class BasicBlock(Block):
    """Two 3×3 convolutions (Fig. 5, left)."""

    def _build_layers(self, in_channels: int, out_channels: int, stride: int, network: PlainOrResidual) -> None:
        preact, bias = network.norm == "preact", network.norm == "nonorm"
        self.conv1 = convolution(in_channels, out_channels, 3, stride, bias=bias)
        self.bn1 = normalization(in_channels if preact else out_channels, network.norm)
        self.conv2 = convolution(out_channels, out_channels, 3, bias=bias)
        self.bn2 = normalization(out_channels, network.norm)

    @property
    def layers(self) -> list[tuple[nn.Conv2d, nn.Module]]:
        return [(self.conv1, self.bn1), (self.conv2, self.bn2)]


class Bottleneck(Block):
    """A 1×1 convolution to a quarter of the channels, a 3×3, and a 1×1 to all channels (Fig. 5, right).

    The first convolution has the stride, as in the paper, or the 3×3 has it (torchvision's "v1.5", `-stride3x3`).
    """

    def _build_layers(self, in_channels: int, out_channels: int, stride: int, network: PlainOrResidual) -> None:
        preact, bias = network.norm == "preact", network.norm == "nonorm"
        width = out_channels // BOTTLENECK_EXPANSION
        strides = (stride, 1) if network.stride_in == "1x1" else (1, stride)
        self.conv1 = convolution(in_channels, width, 1, strides[0], bias=bias)
        self.bn1 = normalization(in_channels if preact else width, network.norm)
        self.conv2 = convolution(width, width, 3, strides[1], bias=bias)
        self.bn2 = normalization(width, network.norm)
        self.conv3 = convolution(width, out_channels, 1, bias=bias)
        self.bn3 = normalization(width if preact else out_channels, network.norm)

    @property
    def layers(self) -> list[tuple[nn.Conv2d, nn.Module]]:
        return [(self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)]


def build_stage(
    in_channels: int, out_channels: int, blocks: int, stride: int, network: PlainOrResidual
) -> nn.Sequential:
    """Build a network stage: blocks with equal outputs, the first of which has the stride and changes the channels.

    Returns:
        A module that maps (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """
    block = Bottleneck if network.bottleneck else BasicBlock
    opening = block(in_channels, out_channels, stride, network, opens_stage=True)
    return nn.Sequential(opening, *(block(out_channels, out_channels, 1, network) for _ in range(blocks - 1)))
