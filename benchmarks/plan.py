"""Command: measure how the planning and the recording of a sweep grow with the number of cells."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.table import Table
from ruamel.yaml import YAML

from benchmarks.report import load_average
from resgrid.artifacts.files import write_atomically
from resgrid.config.reading import PARAMS_FILE, read_params, with_changes
from resgrid.config.whole import load_config
from resgrid.sweep.graph import LOCK_HEAD, TRAIN, Graph
from resgrid.sweep.plan import make_plan
from resgrid.terminal import console, run_command
from resgrid.tracking.lineage import current_commit, describe_hardware, versions

REPOSITORY = Path(__file__).resolve().parents[1]
OUTPUT = REPOSITORY / "benchmarks/results/plan.json"
SIZES = (12, 102, 1002)
RECORDED = 5


def plan(
    output: Annotated[Path, typer.Option(help="Path of the JSON.")] = OUTPUT,
    measure: Annotated[bool, typer.Option("--measure", hidden=True)] = False,
) -> None:
    """Measure the default grid with more and more seeds: about three minutes.

    The graph is the real one, with all of its dependencies and outputs. Every cell has an entry in dvc.lock, and all
    but the recorded ones lack their outputs, so all are stale and need a snapshot. Times are wall-clock time on one
    core.
    """
    if measure:
        sys.stdout.write(json.dumps(_measure()) + "\n")
        return
    if (load := load_average()) > 0.5:
        console.print(f"load {load:.1f}: other processes are running, so the times are too long", style="yellow")
    rows = [_in_new_process(cells) for cells in SIZES]
    facts = {"load": load, "hardware": describe_hardware(), "commit": current_commit(), "versions": versions()}
    write_atomically(output.absolute(), (json.dumps({"sizes": rows} | facts, indent=2) + "\n").encode())
    table = Table(title="Seconds")
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(f"{value:g}" for value in row.values()))
    console.print(table)


def _in_new_process(cells: int) -> dict[str, float]:
    with TemporaryDirectory(prefix="resgrid-bench-") as folder:
        root = Path(folder).resolve() / "repository"
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(root)], check=True)
        environment = os.environ | {"PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
        with chdir(root):
            networks = load_config().grid.network
            seeds = list(range(cells // len(networks)))
            params = with_changes(read_params(PARAMS_FILE), {"grid.seed": seeds})
            with PARAMS_FILE.open("w", encoding="utf-8") as file:
                YAML(typ="safe", pure=True).dump(params, file)
            lock = Path("dvc.lock")
            lock.write_text(_lock_for(lock.read_text(encoding="utf-8"), networks, seeds), encoding="utf-8")
            subprocess.run([sys.executable, "-m", "dvc", "repro", "--quiet", "preprocess"], check=True, env=environment)
            command = [sys.executable, "-m", "benchmarks.plan", "--measure"]
            done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
            start = time.perf_counter()
            status = [sys.executable, "-m", "dvc", "status", "--json"]
            subprocess.run(status, check=True, env=environment, capture_output=True)
            seconds = time.perf_counter() - start
            row = {"cells": cells, "lock_megabytes": round(lock.stat().st_size / 1e6, 2)}
            return row | json.loads(done.stdout.splitlines()[-1]) | {"dvc_status": round(seconds, 1)}


def _lock_for(lock: str, networks: list[str], seeds: list[int]) -> str:
    """A dvc.lock with an entry for each cell, made from those of seed 0."""
    head, *entries = re.split(r"(?m)^(?=  \S)", lock)
    assert head == LOCK_HEAD
    named = {entry.partition(":\n")[0].strip(): entry for entry in entries}
    shared = [entry for name, entry in named.items() if "@" not in name]
    cells = [
        named[f"{stage}@{network}-0"].replace(f"{network}-0", f"{network}-{seed}").replace("--seed 0", f"--seed {seed}")
        for network in networks
        for seed in seeds
        for stage in ("train", "evaluate")
    ]
    return head + "".join(shared + cells)


def _measure() -> dict[str, float]:
    """Plan, hash and record in the working folder."""
    start = time.perf_counter()
    graph = Graph(Path.cwd())
    with ExitStack() as reserved, graph.locked():
        reserved.enter_context(graph.cells_reserved())
        read = time.perf_counter()
        graph.bring_upstream_up_to_date(run=False)
        planned = make_plan(graph, [], None, force=False, dry=True)
        compared = time.perf_counter()
        for cell in planned.to_run:
            train = graph.snapshot(cell.stages[0])
            for stage in cell.stages[1:]:
                graph.snapshot(stage, train)
        hashed = time.perf_counter()
    stages = [cell.stages[0] for cell in planned.to_run[:RECORDED]]
    delivered = Path("delivered")
    for name in stages:
        snapshot = graph.snapshot(name)
        for out in snapshot.outs:
            (delivered / name / out).parent.mkdir(parents=True, exist_ok=True)
            (delivered / name / out).write_text('{"steps": 1}')
        (delivered / f"{name}.json").write_text(json.dumps(snapshot.inputs))
    begin = time.perf_counter()
    for name in stages:
        graph.commit(name, delivered)
    recorded = (time.perf_counter() - begin) / RECORDED
    shutil.rmtree(delivered)
    assert all(name.startswith(TRAIN) for name in stages)
    return {
        "read_graph": round(read - start, 1),
        "compare": round(compared - read, 1),
        "hash": round(hashed - compared, 1),
        "plan": round(hashed - start, 1),
        "record_a_stage": round(recorded, 2),
    }


if __name__ == "__main__":
    run_command(plan)
