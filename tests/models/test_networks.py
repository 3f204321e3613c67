"""The 6n+2 family: exact counts, hand-computed shortcuts, initialisation."""

import pytest
import torch
from torch import nn

from resgrid.cells import Shortcut
from resgrid.models import build_network, count_parameters
from resgrid.models.blocks import BasicBlock, ZeroPadShortcut, build_shortcut


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet20-A", 269_722),
        ("resnet32-A", 464_154),
        ("resnet44-A", 658_586),
        ("resnet56-A", 853_018),
        ("resnet110-A", 1_727_962),
        ("resnet20-B", 272_474),
        ("resnet20-C", 283_962),
    ],
)
def test_parameters_are_exactly_the_paper_s(name: str, parameters: int) -> None:
    assert count_parameters(build_network(name)) == parameters


@pytest.mark.slow
def test_the_deepest_network_has_the_paper_s_parameters() -> None:
    assert count_parameters(build_network("resnet1202-A")) == 19_421_274


@pytest.mark.parametrize("depth", [8, 20, 56])
def test_a_plain_network_has_the_weights_of_its_option_a_twin(depth: int) -> None:
    torch.manual_seed(0)
    plain = build_network(f"plain{depth}")
    torch.manual_seed(0)
    residual = build_network(f"resnet{depth}-A")
    ours, theirs = plain.state_dict(), residual.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("name", ["plain8", "resnet8-A", "resnet8-B", "resnet8-C"])
def test_depth_counts_the_weighted_layers_on_the_longest_path(name: str) -> None:
    network = build_network(name)
    layers = [
        path
        for path, module in network.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and "shortcut" not in path
    ]
    assert len(layers) == 8


@pytest.mark.parametrize("size", [8, 28, 32])
@pytest.mark.parametrize("name", ["plain8", "resnet8-A", "resnet8-B", "resnet8-C"])
def test_any_small_image_gives_one_logit_for_each_class(name: str, size: int) -> None:
    logits = build_network(name, num_classes=7, in_channels=1)(torch.zeros(2, 1, size, size))
    assert logits.shape == (2, 7)


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


def test_a_block_adds_its_input_before_the_last_activation() -> None:
    x = torch.randn(2, 3, 4, 4)
    cases: list[tuple[Shortcut, torch.Tensor]] = [("none", torch.zeros_like(x)), ("A", x.relu())]
    for shortcut, expected in cases:
        block = BasicBlock(3, 3, 1, shortcut)
        nn.init.zeros_(block.conv2.weight)  # F(x) = 0: what is left is the shortcut
        assert torch.equal(block(x), expected)


def test_initialisation_has_he_s_deviation() -> None:
    torch.manual_seed(0)
    network = build_network("plain20")
    weight = network.get_submodule("layer3.1.conv1").weight
    assert isinstance(weight, torch.Tensor)
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.01)


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="num_classes 0"):
        build_network("plain8", num_classes=0)
