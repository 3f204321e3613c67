"""Test results of one network, computed from its logits."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from resgrid.artifacts.cell_files import TestMetrics

# From this many classes on, the top-5 error is measured: the field gives it for CIFAR-100 and ImageNet.
TOP5_CLASSES = 100


def measure(logits: Tensor, selected_logits: Tensor, labels: Tensor, classes: list[str]) -> TestMetrics:
    """Compute the test results.

    Args:
        logits: (N, classes) of the final weights.
        selected_logits: (N, classes) of the weights with the lowest validation error.
        labels: int64 (N,).
        classes: class names by label; a class without images has the error NaN.
    """
    wrong = logits.argmax(dim=1) != labels
    per_class = {
        name: 100 * wrong[labels == index].double().mean().item() if (labels == index).any() else float("nan")
        for index, name in enumerate(classes)
    }
    return TestMetrics(
        test_loss=F.cross_entropy(logits.double(), labels).item(),
        test_error=100 * wrong.double().mean().item(),
        selected_test_error=100 * (selected_logits.argmax(dim=1) != labels).double().mean().item(),
        per_class_error=per_class,
        images=len(labels),
        test_top5_error=_top5_error(logits, labels) if len(classes) >= TOP5_CLASSES else None,
    )


def _top5_error(logits: Tensor, labels: Tensor) -> float:
    """Percentage of images whose class is not among the five with the largest logits."""
    among_five = (logits.topk(5, dim=1).indices == labels[:, None]).any(dim=1)
    return 100 * (~among_five).double().mean().item()
