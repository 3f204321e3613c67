"""Test results of hand-made logits."""

import math

import numpy as np
import pytest
import torch

from resgrid.evaluation.metrics import measure

LABELS = torch.tensor([0, 0, 1, 1])
LOGITS = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 2.0], [0.0, 2.0]])  # the second is wrong


def test_errors_are_percentages_of_images_and_of_each_class() -> None:
    metrics = measure(LOGITS, torch.flip(LOGITS, [1]), LABELS, ["cat", "dog"])
    assert metrics.images == 4
    assert metrics.test_error == 25.0
    assert metrics.selected_test_error == 75.0
    assert metrics.per_class_error == {"cat": 50.0, "dog": 0.0}
    right, wrong = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    assert metrics.test_loss == pytest.approx((3 * right + wrong) / 4)


def test_the_top5_error_is_measured_from_100_classes_on() -> None:
    assert measure(LOGITS, LOGITS, LABELS, ["cat", "dog"]).test_top5_error is None
    logits = torch.zeros(4, 100)
    logits[:, 10:15] = torch.arange(5, 0, -1.0)  # the five largest are 10 to 14
    metrics = measure(logits, logits, torch.tensor([10, 14, 15, 99]), [str(index) for index in range(100)])
    assert (metrics.test_error, metrics.test_top5_error) == (75.0, 50.0)


def test_a_class_without_images_has_no_error() -> None:
    metrics = measure(torch.eye(2), torch.eye(2), torch.tensor([0, 1]), ["cat", "dog", "none"])
    assert np.isnan(metrics.per_class_error["none"])
