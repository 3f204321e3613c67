"""Test results from hand-made logits."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from resgrid.evaluation.evaluate import confusion_csv, measure
from resgrid.evaluation.figures import draw_confusion, draw_curve

LABELS = torch.tensor([0, 0, 1, 1])
LOGITS = torch.tensor([[2.0, 0.0], [0.0, 2.0], [0.0, 2.0], [0.0, 2.0]])  # the second is wrong


def test_errors_are_percent_of_images_and_of_each_class() -> None:
    metrics = measure(LOGITS, torch.flip(LOGITS, [1]), LABELS, ["cat", "dog"])
    assert metrics.images == 4
    assert metrics.test_error == 25.0
    assert metrics.selected_test_error == 75.0
    assert metrics.per_class_error == {"cat": 50.0, "dog": 0.0}
    right, wrong = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    assert metrics.test_loss == pytest.approx((3 * right + wrong) / 4)


def test_the_top5_error_is_given_from_a_hundred_classes_on() -> None:
    assert measure(LOGITS, LOGITS, LABELS, ["cat", "dog"]).test_top5_error is None
    logits = torch.zeros(4, 100)
    logits[:, 10:15] = torch.arange(5, 0, -1.0)  # the five likeliest are 10 to 14
    metrics = measure(logits, logits, torch.tensor([10, 14, 15, 99]), [str(index) for index in range(100)])
    assert (metrics.test_error, metrics.test_top5_error) == (75.0, 50.0)


def test_a_class_without_images_has_no_error() -> None:
    metrics = measure(torch.eye(2), torch.eye(2), torch.tensor([0, 1]), ["cat", "dog", "none"])
    assert np.isnan(metrics.per_class_error["none"])


def test_confusions_have_a_row_for_each_image() -> None:
    assert confusion_csv(LOGITS, LABELS, ["cat", "dog"]).decode().splitlines() == [
        "actual,predicted",
        "cat,cat",
        "cat,dog",
        "dog,dog",
        "dog,dog",
    ]


def test_the_figures_of_a_cell_are_pictures(tmp_path: Path) -> None:
    confusion, curve = tmp_path / "confusion.csv", tmp_path / "curve.csv"
    confusion.write_bytes(confusion_csv(LOGITS, LABELS, ["1", "2"]))
    curve.write_text("step,train/error,val/error\n10,50,60\n20,40,50\n")
    for picture in (draw_confusion(confusion), draw_curve(curve)):
        assert picture.startswith(b"\x89PNG")
