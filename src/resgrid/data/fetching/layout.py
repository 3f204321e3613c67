"""Image folders, `<split>/<class>/<image>`: which file is which image, by names alone."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from resgrid.artifacts.data_card import SPLITS
from resgrid.data.fetching.content import quoted

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm")
_SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx"}  # besides names that begin with a dot
_NAME_LIMIT = 255  # bytes of a file name, as on most file systems
_LISTED_AT_MOST = 20
_LAYOUT = "use train/<class>/<image> and test/<class>/<image> (or val/<class>/<image>)"


@dataclass(frozen=True, eq=False)
class Layout:
    """Which image is where.

    Attributes:
        classes: class names; a label is an index into them.
        test_folder: the folder of the test images: `test`, or `val` if there is none, as in ImageNet.
        labels: int64 (N,) for `train` and `test`.
        rows: split and row of each image by its name; sorted by class and name, whatever the order in the archive.
        notes: what a reader must know before comparing numbers.
    """

    classes: list[str]
    test_folder: str
    labels: dict[str, np.ndarray]
    rows: dict[str, tuple[str, int]]
    notes: list[str]


def read_layout(source: Path | str, names: Iterable[str]) -> Layout:
    """Find the images among the names in an archive or a folder; names outside the splits are ignored.

    Args:
        source: named in the messages.
        names: of files; those of folders end in `/`.

    Raises:
        ValueError: names are not in the layout (all are listed), a split is missing, or the splits' classes differ.
    """
    inside = [name for name in names if is_in_a_split(name)]
    _refuse_misplaced(source, inside)
    locations: dict[tuple[str, ...], str] = {}
    for name in inside:
        if name.endswith("/"):
            continue
        location = image_location(name)
        if location in locations:
            raise ValueError(f"{source}: {'/'.join(location)}: exists twice; remove one of the two")
        locations[location] = name
    found = {folder for folder, _, _ in locations}
    folders = {"train": "train", "test": "test" if "test" in found else "val"}
    for folder, allowed in (("train", "train"), (folders["test"], "test or val")):
        if folder not in found:
            raise ValueError(f"{source}: contains no images in {allowed}; {_LAYOUT}")
    ordered = {split: sorted(place for place in locations if place[0] == folder) for split, folder in folders.items()}
    classes = _same_classes(source, {folders[split]: {place[1] for place in ordered[split]} for split in folders})
    indices = {name: index for index, name in enumerate(classes)}
    notes = ["tested on val"] if folders["test"] == "val" else ["val not used"] if "val" in found else []
    class_folders = {name.split("/")[-2] for name in inside if len(image_location(name)) == 3 and name.endswith("/")}
    if empty := sorted(class_folders - set(classes)):
        notes.append(f"empty class folders not used: {', '.join(empty)}")
    return Layout(
        classes,
        folders["test"],
        labels={split: np.array([indices[place[1]] for place in ordered[split]], dtype=np.int64) for split in folders},
        rows={locations[place]: (split, row) for split in folders for row, place in enumerate(ordered[split])},
        notes=notes,
    )


def is_in_a_split(name: str) -> bool:
    """Return whether a name is below `train`, `val` or `test` (or one folder further down) and not a system file."""
    parts = name.split("/")
    is_system = any(part.startswith(".") or part.lower() in _SYSTEM_FILES for part in parts)
    return not is_system and any(part in SPLITS for part in parts[:2])


def image_location(name: str) -> tuple[str, ...]:
    """Split a name into `train`, class and file, without the folder around `train` that many archives have."""
    return tuple(name.removeprefix(_root(name)).split("/"))


def _root(name: str) -> str:
    """The folder around the splits, with its `/`, or an empty string."""
    first, slash, _ = name.partition("/")
    return "" if first in SPLITS else first + slash


def _refuse_misplaced(source: Path | str, names: list[str]) -> None:
    roots = sorted({_root(name) for name in names})
    if len(roots) > 1:
        named = ", ".join(root or "no folder" for root in roots)
        raise ValueError(f"{source}: has splits in several places ({named}); put them into one folder")
    refuse_files(source, {name: problem for name in sorted(names) if (problem := _problem(name))})


def refuse_files(source: Path | str, problems: dict[str, str]) -> None:
    """List the files of a source that can't be used, with the problem of each.

    Raises:
        ValueError: there are such files.
    """
    if problems:
        count = f"{len(problems)} file{'s' if len(problems) > 1 else ''}"
        raise ValueError(f"{source}: {count} can't be used; fix or remove them:\n{listed(problems)}")


def listed(problems: dict[str, str]) -> str:
    """Format the first problems, one a line, and the number of the others."""
    lines = [f"  {quoted(name)}: {problem}" for name, problem in list(problems.items())[:_LISTED_AT_MOST]]
    more = [f"  and {len(problems) - _LISTED_AT_MOST} more"] if len(problems) > _LISTED_AT_MOST else []
    return "\n".join([*lines, *more])


def _problem(name: str) -> str | None:
    location = image_location(name)
    categories = {unicodedata.category(sign) for sign in name}
    if "Cs" in categories:
        return "is not a name in UTF-8"
    if categories & {"Cc", "Zl", "Zp"}:
        return "contains a control character"
    if any(len(part.encode()) > _NAME_LIMIT for part in location):
        return f"is a name of more than {_NAME_LIMIT} bytes"
    is_folder = name.endswith("/")
    if len(location) > 3 or (len(location) < 3 and not is_folder):
        return f"is not in the layout; {_LAYOUT}"
    is_image = PurePosixPath(name).suffix.lower() in _SUFFIXES
    return None if is_folder or is_image else f"is not an image; use {', '.join(_SUFFIXES)}"


def _same_classes(source: Path | str, classes: dict[str, set[str]]) -> list[str]:
    everything = set().union(*classes.values())
    for folder, found in classes.items():
        if missing := sorted(everything - found):
            raise ValueError(
                f"{source}: {folder}: has no images of the class {', '.join(missing)}; add some, or remove the class"
            )
    return sorted(everything)
