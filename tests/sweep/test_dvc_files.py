"""Damaged files of DVC get a sentence that names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from resgrid.sweep.graph import Graph, GraphError
from support.repository import Repository


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    (tmp_path / ".dvc/config").touch()
    (tmp_path / "dvc.yaml").write_text('stages: {train: {matrix: {key: [a]}, cmd: make, outs: ["runs/${key}"]}}\n')
    Repository(tmp_path).run("git", "init", "-q")
    return tmp_path


def reserve(root: Path) -> None:
    with Graph(root).cells_reserved():
        pass


@pytest.mark.parametrize("content", [b"", b'{"wri', b"[]", b'{"write": 3}', b"\xff\xfe"])
def test_a_damaged_lock_is_to_be_deleted(root: Path, content: bytes) -> None:
    lock = root / ".dvc/tmp/rwlock"
    lock.write_bytes(content)
    with pytest.raises(GraphError) as error:
        reserve(root)
    assert str(error.value) == f"{lock}: damaged; delete it when no other DVC command runs"
    lock.unlink()
    reserve(root)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dvc.lock", b"schema: '2.0'\nstages:\n  tr: {a"),
        ("dvc.lock", b"schema: '2.0'\nstages: 3\n"),
        ("dvc.lock", b"\xff\xfe"),
        ("dvc.yaml", b"stages:\n  a: {b"),
        ("dvc.yaml", b"stages:\n  a: {b: 1}\n"),
        (".dvc/config", b"[core"),
    ],
)
def test_a_damaged_file_is_named(root: Path, name: str, content: bytes) -> None:
    (root / name).write_bytes(content)
    with pytest.raises(GraphError, match=f"{Path(name).name}.*; fix the file, or restore it with git"):
        reserve(root)
