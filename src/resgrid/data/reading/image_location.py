"""Where image files lie on this machine: the machine's affair, which no hashed file says.

`state_folder()/images/<hash of the index>` is a link to the user's folder, or the folder into which an archive was
unpacked; the environment variable RESGRID_IMAGES names another copy, on a local disk, say.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from resgrid.artifacts.files import state_folder

IMAGES_VARIABLE = "RESGRID_IMAGES"


def keep_link(index_sha256: str, folder: Path) -> None:
    """Note that the files of an index lie in a folder of the user's."""
    _put_in_place(index_sha256, lambda place: place.symlink_to(folder.absolute(), target_is_directory=True))


def keep_unpacked(index_sha256: str, folder: Path) -> None:
    """Note that the files of an index lie in a folder that `unpacked` made; it moves to its place."""
    _put_in_place(index_sha256, folder.rename)


def images_folder(index_sha256: str) -> Path:
    """The folder that holds the files of an index on this machine.

    Raises:
        ValueError: it is not known or not there.
    """
    given = os.environ.get(IMAGES_VARIABLE)
    folder = Path(given).expanduser() if given else _place(index_sha256)
    if not folder.is_dir():
        named = f"the environment variable {IMAGES_VARIABLE} names" if given else "looked for in"
        raise ValueError(
            f"the image files are not there ({named} {folder}). Run `dvc repro --force --single-item download` on this "
            f"machine, or let {IMAGES_VARIABLE} name a folder that holds their copies, train/<class>/* and so on"
        )
    return folder.absolute()


def _place(index_sha256: str) -> Path:
    return state_folder() / "images" / index_sha256[:16]


def _put_in_place(index_sha256: str, put: Callable[[Path], object]) -> None:
    place = _place(index_sha256)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        place.unlink()
    elif place.exists():
        shutil.rmtree(place)  # unpacked by resgrid before
    put(place)
