"""Blocks against hand-computed values and the formulas of `resgrid.models.blocks`."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resgrid.models import build_network
from resgrid.models.blocks import ACTIVATIONS, BasicBlock, Bottleneck, ZeroPadShortcut, build_shortcut
from resgrid.models.families.cifar import CifarNetwork
from resgrid.names import Activation, Norm, PlainOrResidual, Shortcut

Formula = Callable[[BasicBlock, Tensor, Tensor], Tensor]


def randomize(network: nn.Module) -> None:
    """Give batch norms scales, shifts and statistics that are not the identity."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 1.5)


def test_option_a_takes_every_second_pixel_and_pads_channels_with_zeros() -> None:
    x = torch.arange(2 * 4 * 4, dtype=torch.float32).reshape(1, 2, 4, 4)
    y = ZeroPadShortcut(2, 4, stride=2)(x)
    assert y.shape == (1, 4, 2, 2)
    assert y[0, 0].eq(0).all()
    assert y[0, 3].eq(0).all()
    assert y[0, 1].tolist() == [[0, 2], [8, 10]]
    assert y[0, 2].tolist() == [[16, 18], [24, 26]]


def test_shortcuts_follow_the_paper_s_options() -> None:
    assert build_shortcut("none", 16, 32, 2) is None
    assert isinstance(build_shortcut("A", 16, 16, 1), nn.Identity)
    assert isinstance(build_shortcut("B", 16, 16, 1), nn.Identity)
    assert isinstance(build_shortcut("A", 16, 32, 2), ZeroPadShortcut)
    assert isinstance(build_shortcut("B", 16, 32, 1), nn.Sequential)
    assert isinstance(build_shortcut("C", 16, 16, 1), nn.Sequential)


@pytest.mark.parametrize(
    ("norm", "layers"),
    [
        ("paper", [nn.Conv2d, nn.BatchNorm2d]),
        ("latenorm", [nn.Conv2d, nn.BatchNorm2d]),
        ("addnorm", [nn.Conv2d]),
        ("preact", [nn.Conv2d]),
        ("nonorm", [nn.Conv2d]),
    ],
)
def test_a_projection_is_normalized_where_the_block_is_not(norm: Norm, layers: list[type]) -> None:
    projection = build_shortcut("B", 16, 32, 2, norm)
    assert isinstance(projection, nn.Sequential)
    assert [type(layer) for layer in projection] == layers


@pytest.mark.parametrize("shortcut", ["none", "A", "C"])
@pytest.mark.parametrize(
    ("norm", "formula"),
    [
        ("paper", lambda b, x, s: F.relu(b.bn2(b.conv2(F.relu(b.bn1(b.conv1(x))))) + s)),
        ("latenorm", lambda b, x, s: b.bn2(F.relu(b.conv2(b.bn1(F.relu(b.conv1(x)))))) + s),
        ("addnorm", lambda b, x, s: F.relu(b.bn2(b.conv2(F.relu(b.bn1(b.conv1(x)))) + s))),
        ("nonorm", lambda b, x, s: F.relu(b.conv2(F.relu(b.conv1(x))) + s)),
        ("preact", lambda b, x, s: b.conv2(F.relu(b.bn2(b.conv1(F.relu(b.bn1(x)))))) + s),
    ],
)
def test_a_block_computes_its_formula(norm: Norm, formula: Formula, shortcut: Shortcut) -> None:
    block = BasicBlock(4, 4, 1, PlainOrResidual(depth=8, shortcut=shortcut, norm=norm)).eval()
    randomize(block)
    x = torch.randn(2, 4, 5, 5)
    around = torch.zeros_like(x) if block.shortcut is None else block.shortcut(x)
    assert torch.equal(block(x.clone()), formula(block, x, around))


def test_pre_activation_feeds_the_shortcut_of_the_block_that_opens_a_stage() -> None:
    network = PlainOrResidual(depth=8, shortcut="A", norm="preact")
    for opens_stage in (True, False):
        block = BasicBlock(3, 3, 1, network, opens_stage)
        nn.init.zeros_(block.conv2.weight)  # F(x) = 0: what is left is the shortcut
        x = torch.randn(2, 3, 4, 4)
        assert torch.allclose(block(x), block.bn1(x).relu() if opens_stage else x)


def test_full_pre_activation_without_shortcuts_is_the_plain_network() -> None:
    plain, preactivated = build_network("plain8"), CifarNetwork(PlainOrResidual(depth=8, norm="preact"), 10, 3)
    randomize(plain)
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    for kind in kinds:
        theirs = [module for module in preactivated.modules() if isinstance(module, kind)]
        ours = [module for module in plain.modules() if isinstance(module, kind)]
        for source, target in zip(ours, theirs, strict=True):
            target.load_state_dict(source.state_dict())
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(plain.eval()(x), preactivated.eval()(x))


@pytest.mark.parametrize(("stride_in", "sizes"), [("1x1", (4, 4, 4)), ("3x3", (8, 4, 4))])
def test_a_bottleneck_halves_the_size_where_it_is_told_to(stride_in: str, sizes: tuple[int, ...]) -> None:
    network = PlainOrResidual(depth=11, shortcut="B", bottleneck=True, stride_in="1x1" if stride_in == "1x1" else "3x3")
    block = Bottleneck(16, 32, 2, network)
    seen: list[int] = []
    for conv, _ in block.layers:
        conv.register_forward_hook(lambda _, __, output: seen.append(output.shape[-1]))
    assert block(torch.zeros(1, 16, 8, 8)).shape == (1, 32, 4, 4)
    assert tuple(seen) == sizes
    assert [conv.out_channels for conv, _ in block.layers] == [8, 8, 32]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", [0.0, 0.0, 2.0]),
        ("leaky", [-0.01, 0.0, 2.0]),
        ("sigmoid", [0.2689414, 0.5, 0.8807971]),
        ("tanh", [-0.7615942, 0.0, 0.9640276]),
    ],
)
def test_activations(name: Activation, expected: list[float]) -> None:
    assert ACTIVATIONS[name](torch.tensor([-1.0, 0.0, 2.0])).tolist() == pytest.approx(expected)
