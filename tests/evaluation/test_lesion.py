"""Dropped blocks: errors that can be told by hand."""

import pytest
import torch
from torch import Tensor, nn

from resgrid.evaluation.blocks import find_blocks
from resgrid.evaluation.lesion import lesion_errors
from resgrid.models import build_network

# Two channels, one pixel: the network's answer is the larger channel, if nothing is done to them.
IMAGES = torch.tensor([[2.0, 1.0], [5.0, 3.0], [1.0, 4.0], [0.0, 1.0]]).reshape(4, 2, 1, 1)
SWAP = torch.tensor([[0.0, 1.0], [1.0, 0.0]])


class Block(nn.Module):
    """x + Wx, or Wx without a shortcut."""

    def __init__(self, weight: Tensor, shortcut: nn.Module | None) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.layer = nn.Conv2d(2, 2, 1, bias=False)
        self.layer.weight.data = weight.reshape(2, 2, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) if self.shortcut is None else self.layer(x) + self.shortcut(x)


def errors(network: nn.Module, labels: list[int], images: Tensor = IMAGES) -> tuple[float, list[float]]:
    batches = [(images[:3], torch.tensor(labels[:3])), (images[3:], torch.tensor(labels[3:]))]
    return lesion_errors(network, find_blocks(network, images[:1]), batches)


def test_a_residual_block_without_weights_is_not_missed_and_one_that_swaps_the_answers_is() -> None:
    network = nn.Sequential(
        Block(torch.zeros(2, 2), nn.Identity()), Block(3 * SWAP, nn.Identity()), nn.Flatten()
    ).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert errors(network, [1, 1, 0, 0]) == (0.0, [0.0, 100.0])
    assert errors(network, [1, 1, 0, 1]) == (25.0, [25.0, 75.0])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_of_a_dropped_identity_block_exactly_the_input_is_left() -> None:
    head = nn.Linear(2, 2)  # the second class if the two channels add up to less than 5.5
    head.weight.data, head.bias.data = torch.tensor([[1.0, 0.0], [0.0, -1.0]]), torch.tensor([0.0, 5.5])
    network = nn.Sequential(Block(7 * torch.eye(2), nn.Identity()), nn.Flatten(), head)
    # They add up to 3, 8, 5 and 1; with the block, which gives eight times as much, to more than 5.5.
    assert errors(network, [1, 0, 1, 1]) == (75.0, [0.0])


def test_of_a_dropped_residual_block_the_shortcut_s_own_weights_stay() -> None:
    shortcut = nn.Conv2d(2, 2, 1, bias=False)
    shortcut.weight.data = SWAP.reshape(2, 2, 1, 1)
    network = nn.Sequential(Block(torch.eye(2) * 9, shortcut), nn.Flatten())
    assert errors(network, [0, 0, 1, 1]) == (0.0, [100.0])


def test_a_dropped_plain_block_is_the_identity() -> None:
    network = nn.Sequential(Block(SWAP, None), Block(2 * torch.eye(2), None), nn.Flatten())
    assert errors(network, [1, 1, 0, 0]) == (0.0, [100.0, 0.0])


def test_a_plain_block_that_changes_shapes_is_subsampled_and_padded_with_zeros() -> None:
    class Growing(nn.Module):
        shortcut = None

        def forward(self, x: Tensor) -> Tensor:
            return x.new_tensor([1.0, 0.0, 0.0, 0.0]).expand(len(x), 4).reshape(-1, 4, 1, 1)

    images = torch.tensor([[[[7.0, 9.0], [9.0, 9.0]], [[8.0, 0.0], [0.0, 0.0]]]]).expand(4, 2, 2, 2)
    # In the middle of four channels: 7 and 8, the upper left pixels. The largest is the third.
    assert errors(nn.Sequential(Growing(), nn.Flatten()), [2, 2, 2, 0], images) == (75.0, [25.0])


@pytest.mark.parametrize("name", ["plain8", "resnet8-A", "resnet8-B"])
def test_each_block_of_a_real_network_can_be_dropped(name: str) -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 1, 9, 9)
    _, lesions = errors(build_network(name, in_channels=1).eval(), [0, 1, 2, 3], images)
    assert len(lesions) == 3
