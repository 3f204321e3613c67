"""Image folders, `<split>/<class>/<image>`: which file is which image, by names alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from resgrid.artifacts.data_card import SPLITS

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm")


@dataclass(frozen=True, eq=False)
class Layout:
    """Which image is where.

    Attributes:
        test_folder: what is tested on: `test`, or else `val`, as in ImageNet.
        labels: int64 (N,) for `train` and `test`.
        rows: split and row of each image by its name; sorted by class and name, whatever the order in the archive.
    """

    classes: list[str]
    test_folder: str
    labels: dict[str, np.ndarray]
    rows: dict[str, tuple[str, int]]


def read_layout(path: Path, names: Iterable[str]) -> Layout:
    places: dict[tuple[str, ...], str] = {}
    for name in names:
        place = place_in_layout(path, name)
        if place in places:
            raise ValueError(f"{path}: holds {'/'.join(place)} twice")
        places[place] = name
    found = {folder for folder, _, _ in places}
    folders = {"train": "train", "test": "test" if "test" in found else "val"}
    for folder, allowed in (("train", "train"), (folders["test"], "test or val")):
        if folder not in found:
            raise ValueError(f"{path}: holds no images in {allowed}; needed are <split>/<class>/<image>")
    ordered = {split: sorted(place for place in places if place[0] == folder) for split, folder in folders.items()}
    classes = _same_classes(path, {folders[split]: {place[1] for place in ordered[split]} for split in folders})
    indices = {name: index for index, name in enumerate(classes)}
    return Layout(
        classes,
        folders["test"],
        labels={split: np.array([indices[place[1]] for place in ordered[split]], dtype=np.int64) for split in folders},
        rows={places[place]: (split, row) for split in folders for row, place in enumerate(ordered[split])},
    )


def place_in_layout(path: Path, name: str) -> tuple[str, ...]:
    """`train/<class>/<file>` as its parts, without the folder around `train` that many archives have."""
    parts = name.split("/")
    place = tuple(parts if parts[0] in SPLITS else parts[1:])
    if len(place) != 3:
        raise ValueError(f"{path}: {name} lies elsewhere than in <split>/<class>/<image>")
    if PurePosixPath(name).suffix.lower() not in _SUFFIXES:
        raise ValueError(f"{path}: {name} is no image; allowed are {', '.join(_SUFFIXES)}")
    return place


def is_in_a_split(name: str) -> bool:
    parts = name.split("/")
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return not hidden and any(part in SPLITS for part in parts[:2])


def _same_classes(path: Path, classes: dict[str, set[str]]) -> list[str]:
    everything = set().union(*classes.values())
    for folder, found in classes.items():
        if missing := sorted(everything - found):
            raise ValueError(f"{path}: {folder} lacks the class folder {', '.join(missing)} (or it holds no image)")
    return sorted(everything)
