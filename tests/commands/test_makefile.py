"""The Makefile passes variables on as they were typed, and repairs an environment without pip."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.repository import ROOT


def write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def make(folder: Path, *arguments: str, **environment: str) -> str:
    """What `make` prints; variables of a `make test` around this test are left out."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", *arguments], cwd=folder, env=environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The Makefile with a finished environment, whose `resgrid` prints its arguments, one a line."""
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text("", encoding="utf-8")
    shutil.copy(ROOT / "Makefile", tmp_path)
    write_program(tmp_path / ".venv/bin/resgrid", "printf '%s\\n' \"$@\"")
    (tmp_path / ".venv/.ready").touch()
    return tmp_path


def test_variables_reach_the_command_as_they_were_typed(folder: Path) -> None:
    words = ["SELECT=resnet*-A plain8", "DRY=1", "DATA=it's (here) & $HOME;#", "MEAN=0.1,0.2"]
    command, *passed = make(folder, "sweep", *words).splitlines()
    assert command == "sweep"
    assert sorted(passed) == sorted(words)


def test_variables_of_the_makefile_and_of_the_environment_are_not_passed_on(folder: Path) -> None:
    assert make(folder, "evaluate-weights", "PYTHON=python3.12", HOST="machine", SEEDS="0") == "evaluate-weights\n"


def test_an_environment_without_pip_is_made_again(folder: Path) -> None:
    (folder / ".venv/.ready").unlink()
    write_program(folder / ".venv/bin/python", "exit 1")
    # Stands for a Python: notes its calls, and makes an environment whose Python notes its own.
    log = folder / "calls"
    python = f'echo "$@" >> {log}'
    write_program(
        folder / "python", f"{python}\n[ \"$2\" != venv ] || printf '#!/bin/sh\\n%s\\n' '{python}' > .venv/bin/python"
    )
    make(folder, "setup", f"PYTHON={folder}/python")
    check, *calls = log.read_text(encoding="utf-8").splitlines()
    assert check.startswith("-c import sys")
    assert calls == [
        "-m venv --clear .venv",
        "-m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock",
        "-m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .",
    ]
    assert (folder / ".venv/.ready").exists()
