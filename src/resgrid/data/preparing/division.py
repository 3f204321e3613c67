"""The division of images into training, validation and test, stratified by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

from resgrid.config.data import SplitConfig


@dataclass(frozen=True, eq=False)
class Part:
    """A split as resgrid uses it: `rows` (int64, growing) of the published split `source`."""

    source: str
    rows: np.ndarray


def divide(labels: dict[str, np.ndarray], split: SplitConfig) -> dict[str, Part]:
    """Divide the published splits into train, val and test, so that each image is in exactly one.

    Validation images come out of the training images, and so do test images where no test split is published.

    Raises:
        ValueError: `split.val` or `split.test` doesn't fit the number of images.
    """
    train = np.arange(len(labels["train"]))
    if "test" in labels:
        test = Part("test", np.arange(len(labels["test"])))
    else:
        train, rows = _take_out("split.test", train, labels["train"], split.test or 0, split.seed)
        test = Part("train", rows)
    train, val = _take_out("split.val", train, labels["train"], split.val, split.seed)
    return {"train": Part("train", train), "val": Part("train", val), "test": test}


def _take_out(place: str, rows: np.ndarray, labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What stays and what is taken out, both growing. `place` names the parameter in errors."""
    sizes = np.bincount(labels[rows])
    classes, most = len(sizes), len(rows) - len(sizes)
    if sizes.min() < 2:
        raise ValueError(f"{place}: {count}: a class has fewer than 2 training images, which can't be divided")
    if not classes <= count <= most:
        raise ValueError(
            f"{place}: {count}: {len(rows)} training images of {classes} classes are there to divide; "
            f"allowed is {classes} to {most}"
        )
    stays, taken = train_test_split(rows, test_size=count, stratify=labels[rows], random_state=seed)
    return np.sort(stays), np.sort(taken)
