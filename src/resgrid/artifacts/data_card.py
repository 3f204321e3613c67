"""The prepared data: their files and their card."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from resgrid.artifacts.files import JsonRecord, sha256_of_text

PREPARED = Path("data/prepared")


SPLITS = ("train", "val", "test")


class DatasetCard(JsonRecord):
    """`data/prepared/card.json`: what the prepared data are.

    Attributes:
        name: the data set's key in `params.yaml`.
        label: what people call it ("CIFAR-10", "CIFAR-10 (JPEG)").
        note: what a reader must know before comparing numbers (lossy re-encoding, an own split), or empty.
        shape: channels, height, width of an image; with storage `files`, of its crop.
        classes: class names; a label is an index into them.
        counts: images in each split, without skipped ones.
        channel_mean: of the training part, on pixels scaled to [0, 1], per channel.
        channel_std: likewise.
        sha256: of each file under `data/prepared`, by its path there.
        storage: `arrays`, or `files`: images stay in their files, and the arrays hold their paths and SHA-256.
        images: `files` only: SHA-256 of the index of the image files, which leads to the folder that holds them.
        shorter_side: `files` only: length in pixels to which the shorter side is scaled before a central crop.
        channel_covariance: `files` only: of the training part's colors, on pixels scaled to [0, 1], (C, C).
        skipped: `files` only: image files that can't be read and were left out, with the reason.
    """

    name: str
    label: str
    note: str
    shape: tuple[int, int, int]
    classes: list[str]
    counts: dict[str, int]
    channel_mean: list[float]
    channel_std: list[float]
    sha256: dict[str, str]
    storage: Literal["arrays", "files"] = "arrays"
    images: str | None = None
    shorter_side: int | None = None
    channel_covariance: list[list[float]] | None = None
    skipped: dict[str, str] = Field(default_factory=dict)

    @property
    def data_hash(self) -> str:
        """One hash over the prepared arrays: the identity of the data in every run.

        The picture of samples is left out: another version of the drawing library makes no other data.
        """
        arrays = {path: sha256 for path, sha256 in self.sha256.items() if path.endswith(".npy")}
        return sha256_of_text(json.dumps(arrays, sort_keys=True))


@dataclass(frozen=True)
class PreparedPaths:
    """The files under `data/prepared`."""

    root: Path = PREPARED

    @property
    def card(self) -> Path:
        return self.root / "card.json"

    @property
    def mean_image(self) -> Path:
        """float32 (C, H, W): the mean training image on pixels scaled to [0, 1]."""
        return self.root / "mean_image.npy"

    @property
    def samples(self) -> Path:
        return self.root / "samples.png"

    def images(self, split: str) -> Path:
        """uint8 (N, C, H, W); with storage `arrays`."""
        return self.root / split / "images.npy"

    def image_files(self, split: str) -> Path:
        """bytes (N,): paths of the image files below their folder, in UTF-8; with storage `files`."""
        return self.root / split / "files.npy"

    def image_hashes(self, split: str) -> Path:
        """uint8 (N, 32): the SHA-256 of each image file; with storage `files`."""
        return self.root / split / "sha256.npy"

    def labels(self, split: str) -> Path:
        """int64 (N,)."""
        return self.root / split / "labels.npy"
