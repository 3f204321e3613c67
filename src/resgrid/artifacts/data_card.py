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
    """`data/prepared/card.json`: the description of the prepared data.

    Attributes:
        name: the data set's key in `params.yaml`.
        label: name in the report ("CIFAR-10", "CIFAR-10 (JPEG)").
        note: what a reader must know before comparing numbers (lossy encoding, an own split), or empty.
        shape: channels, height, width of an image; with storage `files`, of its crop.
        classes: class names; a label is an index into them.
        counts: images in each split, without skipped ones.
        channel_mean: per channel, of the training part's pixels scaled to [0, 1].
        channel_std: likewise; 0 for a constant channel.
        sha256: of each file under `data/prepared`, by its path there.
        storage: `arrays`, or `files`: images stay in their files, and the arrays contain their paths and SHA-256.
        images: `files` only: SHA-256 of the index of the image files, which identifies the folder of the files.
        shorter_side: `files` only: length in pixels to which the shorter side is scaled before a central crop.
        channel_covariance: `files` only: (C, C), of the training part's colors scaled to [0, 1].
        skipped: `files` only: unreadable image files that were omitted, with the reason.
        conversions: image files that lost information on the way to 8-bit RGB, by kind.
        duplicates: images whose exact pixels occur elsewhere: `test in train` counts test images that are training
            images as well, `two labels` images that also occur under another label. Empty if they were not counted.
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
    conversions: dict[str, int] = Field(default_factory=dict)
    duplicates: dict[str, int] = Field(default_factory=dict)

    @property
    def data_hash(self) -> str:
        """Hash of the prepared arrays: the identity of the data in every run.

        The sample sheet is excluded, since a drawing library's version doesn't change the data.
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
        """Mean training image, float32 (C, H, W), scaled to [0, 1]."""
        return self.root / "mean_image.npy"

    @property
    def samples(self) -> Path:
        """Sheet of sample training images, for the eye."""
        return self.root / "samples.png"

    def images(self, split: str) -> Path:
        """Images, uint8 (N, C, H, W); with storage `arrays`."""
        return self.root / split / "images.npy"

    def image_files(self, split: str) -> Path:
        """Paths of the image files below their folder, UTF-8 bytes (N,); with storage `files`."""
        return self.root / split / "files.npy"

    def image_hashes(self, split: str) -> Path:
        """SHA-256 of each image file, uint8 (N, 32); with storage `files`."""
        return self.root / split / "sha256.npy"

    def labels(self, split: str) -> Path:
        """Labels, int64 (N,)."""
        return self.root / split / "labels.npy"
