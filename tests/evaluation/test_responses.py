"""Layer responses and residual sizes of networks whose numbers can be computed by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resgrid.evaluation.blocks import find_blocks
from resgrid.evaluation.responses import Moments, layer_responses, residual_ratios
from resgrid.models import build_network


def scaling(factor: float, channels: int = 1, size: int = 3) -> nn.Conv2d:
    """A convolution that multiplies each pixel by a factor."""
    convolution = nn.Conv2d(channels, channels, size, padding=size // 2, bias=False)
    nn.init.zeros_(convolution.weight)
    with torch.no_grad():
        for channel in range(channels):
            convolution.weight[channel, channel, size // 2, size // 2] = factor
    return convolution


def norm(factor: float) -> nn.BatchNorm2d:
    """A batch norm that multiplies by a factor in evaluation mode."""
    batch_norm = nn.BatchNorm2d(1, eps=1e-12)  # lost beside a variance of one; torch 2.11 takes no zero
    nn.init.constant_(batch_norm.weight, factor)
    return batch_norm


class TwoLayers(nn.Module):
    """A layer with a norm and one without, a 1×1 between them that doesn't count, activations in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.first_norm = scaling(3.0), norm(0.5)
        self.between = scaling(2.0, size=1)
        self.second, self.after = scaling(-1.0), norm(10.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.between(torch.relu_(self.first_norm(self.first(x))))
        return self.after(torch.relu_(self.second(x)))  # this norm comes after the activation: not the layer's own


def batches(images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """In two batches of unequal size."""
    return [(images[:1], torch.zeros(1)), (images[1:], torch.zeros(len(images) - 1))]


def test_responses_are_taken_after_the_norm_and_before_the_activation() -> None:
    images = torch.tensor([0.0, 0.0, 4.0, 4.0]).reshape(4, 1, 1, 1).expand(4, 1, 2, 2) - 1  # deviation 2
    responses = layer_responses(TwoLayers().eval(), batches(images))
    assert list(responses) == ["first", "second"]
    assert responses["first"] == pytest.approx(3 * 0.5 * 2, rel=1e-6)
    # relu(1.5 * [-1, -1, 3, 3]) = [0, 0, 4.5, 4.5], times 2, times -1: from 0 to -9, deviation 4.5
    assert responses["second"] == pytest.approx(4.5, rel=1e-6)


def test_moments_do_not_depend_on_the_batches_and_keep_small_deviations_beside_a_large_mean() -> None:
    values = torch.tensor([1e6 - 1, 1e6 + 1, 1e6 - 1, 1e6 + 1, 1e6, 1e6], dtype=torch.float64)
    moments = Moments()
    for part in values.split([1, 2, 3]):
        moments.add(part)
    assert moments.std == pytest.approx(math.sqrt(4 / 6), rel=1e-9)


def test_responses_of_a_real_network_are_those_of_its_norms() -> None:
    torch.manual_seed(0)
    network, images = build_network("resnet8-A", in_channels=1).eval(), torch.randn(6, 1, 8, 8)
    responses = layer_responses(network, batches(images))
    assert list(responses) == [
        "conv1",
        *(f"layer{stage}.0.conv{layer}" for stage in (1, 2, 3) for layer in (1, 2)),
    ]
    with torch.no_grad():
        x = network.get_submodule("bn1")(network.get_submodule("conv1")(images))
        assert responses["conv1"] == pytest.approx(x.std(correction=0).item(), rel=1e-5)
        block = network.get_submodule("layer1.0")
        y = F.relu(block.get_submodule("bn1")(block.get_submodule("conv1")(x.relu())))
        y = block.get_submodule("bn2")(block.get_submodule("conv2")(y))
        assert responses["layer1.0.conv2"] == pytest.approx(y.std(correction=0).item(), rel=1e-5)


class Halving(nn.Module):
    """F(x) = x / 2; what surrounds the addition differs."""

    def __init__(self, order: str) -> None:
        super().__init__()
        self.order = order
        self.first, self.last, self.norm = scaling(-1.0), scaling(-0.5), norm(3.0)
        if order == "torchvision":
            self.downsample = None
        else:
            self.shortcut = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        if self.order == "norm after the addition":
            return torch.relu_(self.norm(self.last(self.first(x)) + self.shortcut(x)))
        if self.order == "shortcut first":
            kept = self.shortcut(x)
            return kept.add(self.last(self.first(x)))
        y = self.last(self.first(x))
        y += x if self.order == "torchvision" else self.shortcut(x)
        return torch.relu_(y)


@pytest.mark.parametrize("order", ["torchvision", "in place", "norm after the addition", "shortcut first"])
def test_a_residual_of_half_the_input_has_the_ratio_one_half(order: str) -> None:
    network = nn.Sequential(scaling(1.0), Halving(order), Halving(order)).eval()
    images = torch.rand(5, 1, 4, 4) + 0.1
    blocks = find_blocks(network, images)
    assert [(block.name, block.residual_end) for block in blocks] == [
        ("1", network.get_submodule("1.last")),
        ("2", network.get_submodule("2.last")),
    ]
    assert residual_ratios(network, blocks, batches(images)) == pytest.approx([0.5, 0.5], rel=1e-6)


def test_the_ratio_is_averaged_over_images_not_over_norms() -> None:
    class Squaring(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.square, self.shortcut = Square(), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.square(x) + self.shortcut(x)

    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x

    network = nn.Sequential(Squaring())
    images = torch.tensor([1.0, 3.0, 8.0]).reshape(3, 1, 1, 1)  # ratios 1, 3, 8
    blocks = find_blocks(network, images)
    assert residual_ratios(network, blocks, batches(images)) == pytest.approx([4.0])


def test_plain_blocks_have_no_ratio_and_a_network_without_blocks_has_no_blocks() -> None:
    images = torch.randn(3, 1, 8, 8)
    plain = build_network("plain8", in_channels=1).eval()
    blocks = find_blocks(plain, images)
    assert [block.name for block in blocks] == ["layer1.0", "layer2.0", "layer3.0"]
    assert residual_ratios(plain, blocks, batches(images)) == [None, None, None]
    assert find_blocks(TwoLayers().eval(), images) == []


@pytest.mark.parametrize("option", ["A", "B", "C"])
def test_every_shortcut_option_has_its_residuals_found(option: str) -> None:
    network = build_network(f"resnet14-{option}", in_channels=1).eval()
    blocks = find_blocks(network, torch.randn(2, 1, 8, 8))
    assert [block.residual_end for block in blocks] == [block.module.get_submodule("bn2") for block in blocks]
    assert [block.shortcut for block in blocks] == [block.module.get_submodule("shortcut") for block in blocks]
