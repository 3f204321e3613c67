"""A copied tree, and the program `resgrid` as users start it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.repository import ROOT

Resgrid = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code, where `resgrid preset` prints "CELLS", which shows whose code runs."""
    root = tmp_path_factory.mktemp("tree")
    for part in ("src", "presets", "pipeline"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for part in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / part, root / part)
    preset = root / "src/resgrid/commands/preset.py"
    preset.write_text(preset.read_text(encoding="utf-8").replace("cells of", "CELLS of"), encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def resgrid() -> Resgrid:
    """Run `resgrid` in a folder with some arguments, without any setting of where its code is."""

    def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [sys.executable, "-P", "-m", "resgrid", *arguments]
        return subprocess.run(
            command, cwd=folder, env=environ | environment, capture_output=True, text=True, check=False, timeout=60
        )

    return run
