"""The repository that commands work in: found from any folder below it, and run with its own code."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import resgrid

_MARKS = ("dvc.yaml", "src/resgrid")

# Paths on the command line are relative to this folder, which the command leaves for the repository's root.
_CALLED_FROM = Path.cwd()


def find_repository(folder: Path) -> Path | None:
    """Return the closest folder, from `folder` upward, that is the root of a resgrid repository."""
    return next(
        (root for root in (folder, *folder.parents) if all((root / mark).exists() for mark in _MARKS)),
        None,
    )


def enter_repository() -> None:
    """Make the repository's root the working folder.

    Raises:
        ValueError: the working folder is not in a repository.
    """
    root = find_repository(Path.cwd())
    if root is None:
        raise ValueError(f"{Path.cwd()}: not in a resgrid repository; change to a folder of one")
    os.chdir(root)


def user_path(path: str | Path) -> Path:
    """Return a path of the command line, relative to the repository's root if it was relative to the user's folder."""
    return Path(path) if Path(path).is_absolute() else Path(os.path.relpath(_CALLED_FROM / path))


def run_code_of_this_tree() -> None:
    """Start again with the code of the tree that the working folder is in, if the running code is another tree's.

    In a git worktree or a copied tree, an editable install imports the tree that it was installed from.
    """
    root = find_repository(Path.cwd())
    if root is None or (root / "src/resgrid").samefile(Path(resgrid.__file__).parent):
        return
    earlier = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(root / "src"), *([earlier] if earlier else [])])
    os.execv(sys.executable, [sys.executable, "-P", "-m", "resgrid", *sys.argv[1:]])
