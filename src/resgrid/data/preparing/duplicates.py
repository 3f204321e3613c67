"""Duplicate images, found by their exact pixels: test images that were trained on, images with two labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np


def pixel_digest(pixels: np.ndarray) -> int:
    """Hash an image's shape and pixels to 64 bits; 1.3 million images give a false match with probability 1e-7."""
    digest = hashlib.blake2b(str(pixels.shape).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(pixels).data)
    return int.from_bytes(digest.digest(), "little")


def count_duplicates(digests: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Count the images whose pixels occur elsewhere too.

    Args:
        digests: uint64 (N,) for `train`, `val` and `test`.
        labels: int64 (N,) likewise.

    Returns:
        `val in train`, `test in train`, `test in val`: images of the first split that are in the second as well;
        `two labels`: images of all splits whose pixels have more than one label.
    """
    _, ids = np.unique(np.concatenate(list(digests.values())), return_inverse=True)
    parts = dict(zip(digests, np.split(ids, np.cumsum([len(part) for part in digests.values()])[:-1]), strict=True))
    every_label = np.concatenate([labels[split] for split in digests])
    lowest, highest = np.full(len(ids), np.iinfo(np.int64).max), np.full(len(ids), -1)
    np.minimum.at(lowest, ids, every_label)
    np.maximum.at(highest, ids, every_label)
    pairs = (("val", "train"), ("test", "train"), ("test", "val"))
    return {f"{one} in {other}": int(np.isin(parts[one], parts[other]).sum()) for one, other in pairs} | {
        "two labels": int((lowest[ids] != highest[ids]).sum())
    }


def duplicate_notes(counts: Mapping[str, int]) -> list[str]:
    """Describe the duplicates that affect the results: images in two splits, images with two labels."""
    notes = []
    for pair, count in counts.items():
        if count and pair == "two labels":
            notes.append(f"{count} images have the pixels of an image with another label")
        elif count:
            one, _, other = pair.partition(" in ")
            notes.append(f"{count} {one} image{'s are' if count > 1 else ' is'} in {other} as well")
    return notes
