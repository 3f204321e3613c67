"""The division of images into training, validation and test, stratified by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

from resgrid.config.data import SplitConfig


@dataclass(frozen=True, eq=False)
class Part:
    """A split as resgrid uses it: `rows` (int64, increasing) of the published split `source`."""

    source: str
    rows: np.ndarray


def divide(labels: dict[str, np.ndarray], split: SplitConfig, classes: Sequence[str]) -> dict[str, Part]:
    """Divide the published splits into train, val and test, so that each image is in exactly one of them.

    Validation images are taken from the training images, and so are test images if there is no published test split.

    Raises:
        ValueError: `split.val` or `split.test` doesn't fit the number of images.
    """
    train = np.arange(len(labels["train"]))
    if "test" in labels:
        test = Part("test", np.arange(len(labels["test"])))
    else:
        train, rows = _take("split.test", train, labels["train"], split.test or 0, split.seed, classes)
        test = Part("train", rows)
    train, val = _take("split.val", train, labels["train"], split.val, split.seed, classes)
    return {"train": Part("train", train), "val": Part("train", val), "test": test}


def _take(
    parameter: str, rows: np.ndarray, labels: np.ndarray, count: int, seed: int, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that stay and the rows that are taken, both increasing."""
    sizes = np.bincount(labels[rows], minlength=len(classes))
    if few := [classes[label] for label in np.flatnonzero(sizes < 2).tolist()]:
        raise ValueError(
            f"{parameter}: {count}: can't be taken from fewer than 2 images of the class {', '.join(few)}; "
            "add images or remove the class"
        )
    most = len(rows) - len(classes)
    if not len(classes) <= count <= most:
        raise ValueError(
            f"{parameter}: {count}: doesn't fit {len(rows)} training images of {len(classes)} classes; "
            f"set a number from {len(classes)} to {most}"
        )
    stay, taken = train_test_split(rows, test_size=count, stratify=labels[rows], random_state=seed)
    return np.sort(stay), np.sort(taken)
