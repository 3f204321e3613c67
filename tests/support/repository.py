"""Copies of this repository, in which tests run the real pipeline."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PARTS = (
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvcignore",
    ".gitignore",
    "dvc.yaml",
    "params.yaml",
    "presets",
    "pipeline",
    "requirements.lock",
    "src",
)


@dataclass(frozen=True)
class Repository:
    """A git and DVC repository with this project's code and its own parameters."""

    root: Path

    @property
    def environ(self) -> dict[str, str]:
        """The environment of its processes: this Python, the copy's code, and no variables for MLflow or resgrid."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "RESGRID_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return kept | {"PATH": path, "PYTHONPATH": str(self.root / "src")}

    def begin(self, log: Path, *command: str) -> subprocess.Popen[bytes]:
        """Start a command in its own process group; its output goes to `log`."""
        with log.open("wb") as messages:
            return subprocess.Popen(
                command, cwd=self.root, env=self.environ, stdout=messages, stderr=messages, start_new_session=True
            )

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command and capture its output as text."""
        environ = self.environ | environment
        done = subprocess.run(
            command, cwd=self.root, env=environ, capture_output=True, text=True, check=False, timeout=500
        )
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def set_params(self, **sections: dict[str, Any]) -> None:
        """Change values in `params.yaml`, by section."""
        yaml, path = YAML(typ="safe", pure=True), self.root / "params.yaml"
        values = yaml.load(path)
        for section, changes in sections.items():
            values[section].update(changes)
        yaml.dump(values, path)

    def dvc_lock(self) -> dict[str, Any]:
        return YAML(typ="safe", pure=True).load(self.root / "dvc.lock")["stages"]

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", message)


def copy_repository(root: Path) -> Repository:
    """Make a repository with a small experiment: digits, plain8 and resnet8-A, one seed, 40 steps."""
    for part in PARTS:
        source, target = ROOT / part, root / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, target)
    repository = Repository(root)
    repository.run("git", "init", "-q", "-b", "main")
    repository.set_params(
        grid={"network": ["plain8", "resnet8-A"], "seed": [0]},
        schedule={"milestones": [20, 30]},
        train={"max_steps": 40, "val_every": 10},
        machine={"checkpoint_every": 5},
    )
    repository.commit("a small experiment")
    return repository
