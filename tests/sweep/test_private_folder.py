"""The work directory of a node that doesn't see the repository belongs to its user alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resgrid.sweep.cell_runner import CellFailedError, _make_private


def test_a_new_folder_and_one_s_own_are_taken(tmp_path: Path) -> None:
    for _ in range(2):
        _make_private(tmp_path / "folder")
        assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["file", "open to others", "link", "of another user"])
def test_what_others_could_have_put_there_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "folder"
    if kind == "file":
        path.touch(mode=0o700)
    elif kind == "link":
        (tmp_path / "target").mkdir(mode=0o700)
        path.symlink_to(tmp_path / "target")
    else:
        path.mkdir(mode=0o700)
    if kind == "open to others":
        path.chmod(0o750)
    if kind == "of another user":
        if os.getuid():
            pytest.skip("only root gives folders away")
        os.chown(path, 12345, 12345)
    with pytest.raises(CellFailedError, match=f"{path}: not a private folder of this user; delete it or set TMPDIR"):
        _make_private(path)
