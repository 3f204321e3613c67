"""Repositories for tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.repository import Repository, copy_repository


@pytest.fixture(autouse=True)
def environment_is_left_alone() -> Iterator[None]:
    """MLflow, for one, notes its store in a variable, which other tests' processes would inherit."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def prepared_repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """With the data prepared; shared by many tests, so not to be changed: take `repository`."""
    repository = copy_repository(tmp_path_factory.mktemp("prepared"))
    repository.run("dvc", "repro", "preprocess")
    repository.commit("data")
    return repository


@pytest.fixture
def repository(prepared_repository: Repository, tmp_path: Path) -> Repository:
    """A copy of one's own, with the data prepared."""
    root = tmp_path / "repository"
    shutil.copytree(prepared_repository.root, root, symlinks=True)
    return Repository(root)
