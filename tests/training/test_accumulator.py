"""Means over images."""

import math

import pytest
import torch

from resgrid.training.accumulator import Accumulator


def test_loss_and_error_are_means_over_images_not_over_batches() -> None:
    accumulator = Accumulator(torch.device("cpu"))
    accumulator.add(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([1, 0]))
    accumulator.add(torch.tensor([[0.0, 5.0]]), torch.tensor([1]))
    score = accumulator.score()
    expected = (math.log(2) + math.log1p(math.exp(-9)) + math.log1p(math.exp(-5))) / 3
    assert score.loss == pytest.approx(expected, rel=1e-6)
    assert score.error == pytest.approx(100 / 3)  # the first of equal logits wins
    assert score.images == 3


def test_a_score_of_no_images_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 images were added"):
        Accumulator(torch.device("cpu")).score()
