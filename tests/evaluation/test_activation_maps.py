"""Class activation maps of networks with known heads."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resgrid.evaluation.activation_maps import class_activation_maps, draw_activation_maps
from resgrid.models import build_network

HEAD = torch.tensor([[1.0, 2.0], [3.0, -1.0]])


def known_head(pooling: nn.Module) -> nn.Sequential:
    """The image's two channels are the feature map; logits are HEAD times their means, plus [0, 10]."""
    features = nn.Conv2d(2, 2, 1, bias=False)
    features.weight.data = torch.eye(2).reshape(2, 2, 1, 1)
    linear = nn.Linear(2, 2)
    linear.weight.data, linear.bias.data = HEAD.clone(), torch.tensor([0.0, 10.0])
    return nn.Sequential(features, pooling, nn.Flatten(), linear)


class MeanOverPositions(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


@pytest.mark.parametrize("pooling", [nn.AdaptiveAvgPool2d(1), MeanOverPositions()])
def test_the_map_is_the_feature_map_weighted_with_the_class_s_own_weights(pooling: nn.Module) -> None:
    images = torch.zeros(2, 2, 2, 2)
    images[0, 1] = torch.tensor([[40.0, 0.0], [0.0, 0.0]])  # logits 20, 0: class 0, weight 2
    images[1, 0] = torch.tensor([[0.0, 4.0], [0.0, 0.0]])  # logits 1, 13: class 1, weight 3
    images[1, 1] = torch.tensor([[0.0, 0.0], [4.0, 0.0]])  # logits 3, 12 with both; weight -1
    predicted, maps = class_activation_maps(known_head(pooling), images)
    assert predicted.tolist() == [0, 1]
    assert maps[0].tolist() == [[80.0, 0.0], [0.0, 0.0]]
    assert maps[1].tolist() == [[0.0, 12.0], [-4.0, 0.0]]


@pytest.mark.parametrize("name", ["plain8", "resnet8-A", "resnet8-B"])
def test_the_mean_of_the_map_and_the_bias_are_the_logit(name: str) -> None:
    torch.manual_seed(0)
    network, images = build_network(name).eval(), torch.randn(3, 3, 16, 16)
    bias = network.get_parameter("linear.bias")
    nn.init.normal_(bias)
    predicted, maps = class_activation_maps(network, images)
    logits = network(images)
    assert predicted.equal(logits.argmax(dim=1))
    assert maps.shape == (3, 4, 4)
    expected = logits.gather(1, predicted[:, None])[:, 0] - bias[predicted]
    torch.testing.assert_close(maps.mean(dim=(1, 2)), expected.detach())


def test_without_positions_there_is_no_map() -> None:
    with pytest.raises(ValueError, match=r"images of \(1, 1\): no feature map has more than one position; use"):
        class_activation_maps(known_head(nn.AdaptiveAvgPool2d(1)), torch.ones(1, 2, 1, 1))


def test_the_picture_is_a_function_of_what_it_shows() -> None:
    pixels, maps = np.full((2, 1, 8, 8), 128, dtype=np.uint8), np.arange(8.0).reshape(2, 2, 2)

    def draw(pixels: np.ndarray = pixels, maps: np.ndarray = maps, predicted: str = "cat") -> bytes:
        return draw_activation_maps(pixels, maps, ["cat", "dog"], [predicted, "dog"], "resnet8-A-0")

    picture = draw()
    assert picture == draw()
    assert b"Software" not in picture
    assert picture != draw(pixels=pixels // 2)
    assert picture != draw(maps=-maps)
    assert picture != draw(predicted="dog")
    assert draw(pixels=np.full((2, 3, 8, 8), 128, dtype=np.uint8)) == picture  # gray in three channels
