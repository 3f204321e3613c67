"""Command: measure `resgrid run` on the default grid, by part, and a run that has nothing to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from mlflow import MlflowClient

from benchmarks.report import load_average
from resgrid.artifacts.files import write_atomically
from resgrid.artifacts.run_record import RunRecord
from resgrid.terminal import console, run_command
from resgrid.tracking.lineage import current_commit, describe_hardware, versions

REPOSITORY = Path(__file__).resolve().parents[1]
OUTPUT = REPOSITORY / "benchmarks/results/run.json"


def run(output: Annotated[Path, typer.Option(help="Path of the JSON.")] = OUTPUT) -> None:
    """Run the default grid in a clone without results, and again with nothing to do: about seven minutes.

    The computing is what the stages count as such: steps, validations and the evaluation's measurements.
    """
    if (load := load_average()) > 0.5:
        console.print(f"load {load:.1f}: other processes are running, so the times are too long", style="yellow")
    with TemporaryDirectory(prefix="resgrid-bench-") as folder:
        root = Path(folder).resolve() / "repository"
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(root)], check=True)
        wall, first_step = _timed(root)
        noop, _ = _timed(root)
        records = [RunRecord.read(path) for path in (root / ".resgrid/records").glob("*.json")]
        client = MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db")
        experiments = [each.experiment_id for each in client.search_experiments()]
        (sweep,) = client.search_runs(experiments, "attributes.run_name = 'sweep'")
    stages = {
        name: [stage for record in records if (stage := getattr(record, name)) is not None]
        for name in ("train", "evaluate")
    }
    computing = sum(stage.computing_seconds for each in stages.values() for stage in each)
    cores = len(os.sched_getaffinity(0))
    results = {
        "cells": len(records),
        "cores": cores,
        "wall_s": round(wall, 1),
        "computing_s": round(computing, 1),
        "efficiency": round(computing / (wall * cores), 3),
        "first_step_s": first_step,
        "noop_s": round(noop, 1),
        "parts_s": {
            "from the command to the first cell, Ray included": round(
                wall - sweep.data.metrics["sweep/makespan_seconds"], 1
            ),
            "Ray's start": round(sweep.data.metrics["sweep/ray_startup_seconds"], 1),
            "cells, from the first start to the last commit": round(sweep.data.metrics["sweep/makespan_seconds"], 1),
            "workers' time with cells": round(sweep.data.metrics["sweep/busy_seconds"], 1),
            **{
                f"{name}, {part}": round(sum(seconds), 1)
                for name, each in stages.items()
                for part, seconds in {
                    "computing": [stage.computing_seconds for stage in each],
                    "the rest of the stage": [stage.seconds - stage.computing_seconds for stage in each],
                }.items()
            },
        },
        "load": load,
        "hardware": describe_hardware(),
        "commit": current_commit(),
        "versions": versions(),
    }
    write_atomically(output.absolute(), (json.dumps(results, indent=2) + "\n").encode())
    console.print_json(json.dumps(results))


def _timed(root: Path) -> tuple[float, float | None]:
    """Run the grid. Returns seconds to the end, and to the first report of a step."""
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    first, start = None, time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "resgrid", "run"], cwd=root, env=environment, stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            if first is None and any((root / ".resgrid/sweep/progress").glob("*.json")):
                first = round(time.monotonic() - start, 1)
            time.sleep(0.02)
    if process.returncode:
        raise ValueError(f"resgrid run: exit status {process.returncode}")
    return time.monotonic() - start, first


if __name__ == "__main__":
    run_command(run)
