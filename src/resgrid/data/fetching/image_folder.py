"""Image files below a local folder: regular files only, and no links that lead out of the folder."""

from __future__ import annotations

import os
from pathlib import Path

from resgrid.artifacts.data_card import SPLITS
from resgrid.data.fetching.layout import is_in_a_split, refuse_files

_DEPTH = 2  # of `<split>/<class>/`; deeper folders are not entered, so that links make no cycles


def image_names(folder: Path, follow_links: bool) -> list[str]:
    """Return the names of files, and of folders with a final `/`, in the splits of a folder; system files are omitted.

    Args:
        follow_links: accept links to files and folders outside `folder`. A folder from someone else could link to a
            private file, which DVC would store and push.

    Raises:
        ValueError: there is no folder `train`, or entries can't be used (all are listed).
    """
    if not (folder / "train").is_dir():
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
        raise ValueError(
            f"{folder}: contains no folder 'train' (found: {found}); "
            "use train/<class>/<image> and test/<class>/<image> (or val/<class>/<image>)"
        )
    root = folder.resolve()
    names: list[str] = []
    problems: dict[str, str] = {}
    waiting = [split for split in SPLITS if os.path.lexists(folder / split)]
    while waiting:
        name = waiting.pop()
        path = folder / name
        if not follow_links and path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
            problems[name] = "is a link out of the folder; copy the files, or set data.follow_links: true"
        elif path.is_dir():
            names.append(f"{name}/")
            if name.count("/") < _DEPTH:
                waiting += filter(is_in_a_split, (f"{name}/{entry.name}" for entry in path.iterdir()))
        elif path.is_file():
            names.append(name)
        else:
            problems[name] = "is not a regular file"
    refuse_files(folder, dict(sorted(problems.items())))
    return names
