"""What is subtracted from an image's pixels, and what they are divided by afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.data.reading.store import read_mean_image

NormalizeKind = Literal["per_pixel_mean", "channel"]


@dataclass(frozen=True, eq=False)
class Normalization:
    """Of pixels scaled to [0, 1].

    Attributes:
        mean: subtracted: the mean image (C, H, W) or one value per channel (C, 1, 1).
        std: (C, 1, 1) to divide by afterwards, or None.
        words: what it is and where it comes from.
    """

    mean: np.ndarray
    std: np.ndarray | None
    words: str

    def to_header(self) -> str:
        """As text for the header of a weights file; float32 comes back in the same bits."""
        std = None if self.std is None else self.std.astype(np.float32).tolist()
        return json.dumps({"words": self.words, "mean": self.mean.astype(np.float32).tolist(), "std": std})

    @classmethod
    def from_header(cls, text: str, file: Path) -> Normalization:
        """Of the weights in a file.

        Raises:
            ValueError: the text is damaged.
        """
        try:
            content = json.loads(text)
            mean, std = np.array(content["mean"], dtype=np.float32), content["std"]
            std = None if std is None else np.array(std, dtype=np.float32)
            return cls(mean, std, f"{content['words']}, as {file} states it")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file}: the normalization in its header is damaged: {error}") from None


def read_normalization(paths: PreparedPaths, kind: NormalizeKind, card: DatasetCard) -> Normalization:
    """With the statistics of the data's training part.

    Raises:
        ValueError: the mean image is missing or damaged.
    """
    words = f"{kind} of the training part of {card.label}"
    if kind == "per_pixel_mean":
        return Normalization(read_mean_image(paths), None, words)
    mean, std = (np.array(values).reshape(-1, 1, 1) for values in (card.channel_mean, card.channel_std))
    return Normalization(mean, np.where(std > 0, std, 1.0), words)  # a constant channel becomes 0


def given_normalization(mean: str | None, std: str | None) -> Normalization | None:
    """From numbers by channel, such as `0.485,0.456,0.406`; None if there are none.

    Raises:
        ValueError: they are no numbers, or not as many deviations (all above 0) as means.
    """
    if mean is None and std is None:
        return None
    try:
        means, deviations = ([float(number) for number in text.split(",")] for text in (mean or "", std or ""))
    except ValueError:
        means, deviations = [], []
    if not means or len(means) != len(deviations) or min(deviations) <= 0:
        raise ValueError(
            f"mean: {mean!r} and std: {std!r}: must be a number for each channel in both, std above 0, "
            "on pixels scaled to [0, 1], such as 0.485,0.456,0.406 and 0.229,0.224,0.225"
        )
    words = f"mean {means}, std {deviations}, as given"
    return Normalization(np.reshape(means, (-1, 1, 1)), np.reshape(deviations, (-1, 1, 1)), words)
