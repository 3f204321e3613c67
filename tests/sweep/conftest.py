"""Repositories for tests of sweeps."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.swept_repository import SweptRepository, make_swept_repository


@pytest.fixture
def swept(tmp_path: Path) -> Iterator[SweptRepository]:
    """A new repository without results. A test that fails leaves no process behind."""
    repository = make_swept_repository(tmp_path / "repository")
    yield repository
    for process in repository.processes():
        process.send_signal(signal.SIGKILL)
