"""Sums over images."""

import math

import pytest
import torch

from resgrid.training.accumulator import Accumulator


def test_loss_and_error_are_means_over_images_not_over_batches() -> None:
    tally = Accumulator(torch.device("cpu"))
    tally.add(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.tensor([1, 0]))
    tally.add(torch.tensor([[0.0, 5.0]]), torch.tensor([1]))
    score = tally.score()
    expected = (math.log(2) + math.log1p(math.exp(-9)) + math.log1p(math.exp(-5))) / 3
    assert score.loss == pytest.approx(expected, rel=1e-6)
    assert score.error == pytest.approx(100 / 3)  # of equal logits the first class is taken
    assert score.images == 3


def test_nothing_counted_is_an_error() -> None:
    with pytest.raises(ValueError, match="no images were counted"):
        Accumulator(torch.device("cpu")).score()
