"""The folder that holds image files on this machine; machine-specific, so it is in no hashed file.

`state_folder()/images/<hash of the index>` is a link to the user's folder, or the folder into which an archive was
unpacked. The environment variable RESGRID_IMAGES names another copy, for example on a local disk.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from resgrid.artifacts.files import state_folder

IMAGES_VARIABLE = "RESGRID_IMAGES"


def keep_link(index_sha256: str, folder: Path) -> None:
    """Record that the files of an index are in a folder of the user."""
    _replace(index_sha256, lambda path: path.symlink_to(folder.absolute(), target_is_directory=True))


def keep_unpacked(index_sha256: str, folder: Path) -> None:
    """Move an unpacked folder to where the files of its index are looked for."""
    _replace(index_sha256, folder.rename)


def images_folder(index_sha256: str) -> Path:
    """Return the folder that holds the files of an index on this machine.

    Raises:
        ValueError: the folder is unknown or missing.
    """
    given = os.environ.get(IMAGES_VARIABLE)
    folder = Path(given).expanduser() if given else _default_folder(index_sha256)
    if not folder.is_dir():
        named = f"{IMAGES_VARIABLE}: " if given else ""
        raise ValueError(
            f"{named}{folder}: the folder of the image files is missing; run `dvc repro --force --single-item "
            f"download` on this machine, or set {IMAGES_VARIABLE} to a folder with copies (train/<class>/* and so on)"
        )
    return folder.absolute()


def _default_folder(index_sha256: str) -> Path:
    return state_folder() / "images" / index_sha256[:16]


def _replace(index_sha256: str, put: Callable[[Path], object]) -> None:
    path = _default_folder(index_sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)  # unpacked by resgrid earlier
    put(path)
