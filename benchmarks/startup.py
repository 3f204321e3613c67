"""Seconds from the command `python -m pipeline.train` to its first training step, by part, in new processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timing import Spread
from resgrid.config.reading import PARAMS_FILE

REPOSITORY = Path(__file__).resolve().parents[1]

FIRST_STEP = "first step"


@dataclass(frozen=True)
class Startup:
    """Starts of one cell, in seconds. A first start, which fills the system's file cache, is not counted.

    Attributes:
        until_first_step: from the command to the beginning of the first step, with an existing tracking store.
        parts: parts of this time, and the first step itself.
        new_store_seconds: time to open the run if no tracking store exists yet.
        warm: the same start in a process forked from a process that has only made the imports.
    """

    until_first_step: Spread
    parts: dict[str, Spread]
    new_store_seconds: float
    warm: Spread


def measure_startup(network: str, preset: str, starts: int) -> Startup:
    """Start the training of a cell several times in the working folder, which holds its prepared data."""
    shutil.copyfile(REPOSITORY / "presets" / f"{preset}.yaml", PARAMS_FILE)
    (first,) = _probe(network)
    runs = [_probe(network)[0] for _ in range(starts)]
    names = sorted(runs[0], key=lambda name: -Spread.of(run[name] for run in runs).median)
    parts = {name: Spread.of(run[name] for run in runs) for name in names if name != "all"}
    known = [sum(seconds for name, seconds in run.items() if name != "all") for run in runs]
    parts["the rest"] = Spread.of(run["all"] - seconds for run, seconds in zip(runs, known, strict=True))
    return Startup(
        until_first_step=Spread.of(_until_first_step(run) for run in runs),
        parts=parts,
        new_store_seconds=first["open the MLflow run"],
        warm=Spread.of(_until_first_step(run) for run in _probe(network, forks=starts)),
    )


def _until_first_step(run: dict[str, float]) -> float:
    return run["all"] - run[FIRST_STEP]


def _probe(network: str, forks: int = 0) -> list[dict[str, float]]:
    """Run the probe in a new process.

    Raises:
        ValueError: the training did not start; the message ends with its last output.
    """
    command = [sys.executable, "-m", "benchmarks.startup_probe", network, repr(time.time()), str(forks)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout:
        raise ValueError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])
