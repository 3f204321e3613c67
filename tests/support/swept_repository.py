"""Repositories whose cells count instead of training, to test sweeps alone; all else is real."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from support.repository import ROOT, Repository

CAN_MOUNT = (
    subprocess.run(["unshare", "--mount", "--map-root-user", "true"], check=False, capture_output=True).returncode == 0
)
GRAPH = Path(__file__).parents[1] / "sweep/graph"


@dataclass(frozen=True)
class SweptRepository(Repository):
    """A repository with the counting graph."""

    def sweep(self, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a sweep to its end, with any exit status."""
        return self.run("python", "-m", "resgrid", "sweep", *options, check=False, **environment)

    def begin_sweep(self, **environment: str) -> subprocess.Popen[str]:
        """Start a sweep in its own process group; its output goes to `sweep.log`."""
        with self.log.open("w") as log:
            return subprocess.Popen(
                ["python", "-m", "resgrid", "sweep"],
                cwd=self.root,
                env=self.environ | environment,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    @property
    def log(self) -> Path:
        return self.root / "sweep.log"

    def hold(self, step: int, *cells: str) -> None:
        """Make the cells wait at a step until they are released."""
        for cell in cells:
            path = self.root / ".resgrid/hold" / cell
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(step))

    def release(self) -> None:
        shutil.rmtree(self.root / ".resgrid/hold")

    def saved_step(self, cell: str) -> int:
        """The step from which a cell would resume."""
        path = self.root / ".resgrid/checkpoints" / f"{cell}-0" / "step"
        return int(path.read_text()) if path.exists() else 0

    def begins(self, cell: str) -> list[int]:
        """The steps at which a cell's training started, one per attempt."""
        text = (self.root / ".resgrid/records" / f"{cell}-0.json").read_text()
        return [int(number) for number in text.strip("[]").split(",")]

    def saved_when_stopped(self, cell: str) -> bool:
        """Whether a terminated cell had time to save its step."""
        return (self.root / ".resgrid/records" / f"{cell}-0.stopped").exists()

    def stale(self) -> dict[str, Any]:
        """The changes that `dvc status` lists, by stage."""
        return json.loads(self.run("dvc", "status", "--json").stdout)

    def processes(self) -> list[psutil.Process]:
        """The processes that run a cell of this repository."""
        return [process for process in psutil.process_iter(["cmdline", "cwd"]) if self._works_here(process)]

    def _works_here(self, process: psutil.Process) -> bool:
        command = " ".join(process.info["cmdline"] or [])
        return str(self.root) in f"{command} {process.info['cwd']}" and (
            "pipeline.train" in command or "supervisor.py" in command
        )


def wait_until(condition: Callable[[], object], what: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def make_swept_repository(root: Path) -> SweptRepository:
    """Make a repository with plain8 and resnet8-A × seeds 0 and 1, 3 steps of 0.1 s each, and no results."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in (".dvc/config", ".dvc/.gitignore", ".dvcignore", "params.yaml"):
        (root / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / part, root / part)
    for part in ("pipeline", "src"):
        shutil.copytree(ROOT / part, root / part, ignore=ignored)
    shutil.copytree(GRAPH, root, dirs_exist_ok=True, ignore=ignored)
    # With the name dvc.yaml, DVC would add the file to this repository's graph.
    (root / "graph.yaml").rename(root / "dvc.yaml")
    (root / ".gitignore").write_text(
        "/runs\n/sources\n/data\n/.resgrid\n/mlruns\n/report.txt\n__pycache__/\n/sweep.log\n"
    )
    repository = SweptRepository(root)
    repository.run("git", "init", "-q", "-b", "main")
    repository.set_params(
        grid={"network": ["plain8", "resnet8-A"], "seed": [0, 1]},
        schedule={"milestones": []},
        train={"max_steps": 3, "val_every": 1},
        sweep={"max_failures": 1},
    )
    repository.commit("a counting experiment")
    return repository
