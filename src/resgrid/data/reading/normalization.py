"""Normalization of pixels: a mean to subtract and a standard deviation to divide by."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.data.reading.store import check_recorded, read_mean_image

NormalizeKind = Literal["per_pixel_mean", "channel"]


@dataclass(frozen=True, eq=False)
class Normalization:
    """Normalization of pixels that are scaled to [0, 1].

    Attributes:
        mean: value to subtract: the mean image (C, H, W), or one value per channel (C, 1, 1).
        std: divisor (C, 1, 1) after the subtraction, or None.
        words: description of the normalization and its origin.
    """

    mean: np.ndarray
    std: np.ndarray | None
    words: str

    def to_header(self) -> str:
        """Return the text for the header of a weights file; float32 values survive bit for bit."""
        std = None if self.std is None else self.std.astype(np.float32).tolist()
        return json.dumps({"words": self.words, "mean": self.mean.astype(np.float32).tolist(), "std": std})

    @classmethod
    def from_header(cls, text: str, file: Path) -> Normalization:
        """Read the normalization from the header of a weights file.

        Raises:
            ValueError: the text is damaged.
        """
        try:
            content = json.loads(text)
            mean, std = np.array(content["mean"], dtype=np.float32), content["std"]
            std = None if std is None else np.array(std, dtype=np.float32)
            if not np.isfinite(mean).all() or (std is not None and not ((std > 0) & np.isfinite(std)).all()):
                raise ValueError("a number is not finite, or a standard deviation is not above 0")
            return cls(mean, std, f"{content['words']}, as {file} states it")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{file}: damaged normalization in the header ({error}); export the cell again") from None


def read_normalization(paths: PreparedPaths, kind: NormalizeKind, card: DatasetCard) -> Normalization:
    """Return the normalization with the statistics of the data's training part.

    Raises:
        ValueError: the mean image is missing or damaged.
    """
    words = f"{kind} of the training part of {card.label}"
    if kind == "per_pixel_mean":
        check_recorded(paths, card, "mean_image.npy")
        return Normalization(read_mean_image(paths), None, words)
    mean, std = (np.array(values).reshape(-1, 1, 1) for values in (card.channel_mean, card.channel_std))
    return Normalization(mean, np.where(std > 0, std, 1.0), words)  # a constant channel becomes 0


def given_normalization(mean: str | None, std: str | None) -> Normalization | None:
    """Parse one number per channel, such as `0.485,0.456,0.406`; return None if both texts are None.

    Raises:
        ValueError: a text is not numbers, the numbers of means and deviations differ, or a deviation is not above 0.
    """
    if mean is None and std is None:
        return None
    try:
        means, deviations = ([float(number) for number in text.split(",")] for text in (mean or "", std or ""))
    except ValueError:
        means, deviations = [], []
    finite = all(map(math.isfinite, [*means, *deviations]))
    if not means or len(means) != len(deviations) or min(deviations) <= 0 or not finite:
        raise ValueError(
            f"mean: {mean!r} and std: {std!r}: not one number per channel, with std above 0; give numbers for pixels "
            "scaled to [0, 1], such as 0.485,0.456,0.406 and 0.229,0.224,0.225"
        )
    words = f"mean {means}, std {deviations}, as given"
    return Normalization(np.reshape(means, (-1, 1, 1)), np.reshape(deviations, (-1, 1, 1)), words)
