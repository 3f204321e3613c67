"""Command: measure the overhead of a sweep with cells that sleep, next to other ways to run them."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NamedTuple

import psutil
import typer
from mlflow import MlflowClient
from rich.table import Table
from ruamel.yaml import YAML

from benchmarks.report import load_average
from benchmarks.synthetic import write_prepared
from resgrid.artifacts.data_card import PreparedPaths
from resgrid.artifacts.files import write_atomically
from resgrid.terminal import console, run_command
from resgrid.tracking.lineage import current_commit, describe_hardware, versions

REPOSITORY = Path(__file__).resolve().parents[1]
OUTPUT = REPOSITORY / "benchmarks/results/sweep.json"

AT_ONCE = 4
SLEEP_SECONDS = 3
CELLS = 8
MANY = (50, 100, 200, 400)


def sweep(
    quick: Annotated[bool, typer.Option("--quick", help="One round, and at most 100 cells.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="Path of the JSON. [default: benchmarks/results/sweep.json; --quick: none]"),
    ] = None,
) -> None:
    """Measure `make sweep`: about 20 minutes, 3 with --quick.

    Eight cells sleep three seconds each, four in parallel: at least six seconds. `dvc repro`, `xargs -P4 dvc
    --wait-for-lock repro -s` and a sweep run them. A sweep's time is from the start of the first cell to the last
    commit; Ray's start is separate. Then sweeps of more and more empty cells give the cost per cell, in time and in CPU
    time, which depends less on other work of the host.
    """
    output = output.absolute() if output else None if quick else OUTPUT
    for variable in ("MLFLOW_TRACKING_URI", "RESGRID_STATE"):
        os.environ.pop(variable, None)
    load, times = load_average(), psutil.cpu_times()
    if load > 0.5:
        console.print(f"load {load:.1f}: other processes are running, so the times are too long", style="yellow")
    rounds = 1 if quick else 3
    serial = [_timed(["dvc", "repro"], CELLS, SLEEP_SECONDS) for _ in range(1 if quick else 2)]
    console.print(f"dvc repro: {statistics.median(serial):.1f} s")
    xargs = [_timed(["sh", "-c", _xargs()], CELLS, SLEEP_SECONDS) for _ in range(rounds)]
    console.print(f"xargs -P{AT_ONCE} dvc --wait-for-lock repro -s: {statistics.median(xargs):.1f} s")
    sweeps = [_sweep(CELLS, SLEEP_SECONDS) for _ in range(rounds)]
    console.print(f"sweep: {statistics.median(sweep.makespan for sweep in sweeps):.1f} s")
    # Sizes alternate, so that a slow phase of the machine affects all of them.
    sizes = MANY[:2] if quick else MANY
    many: dict[int, list[_Sweep]] = {cells: [] for cells in sizes}
    for _ in range(1 if quick else 5):
        for cells in sizes:
            many[cells].append(_sweep(cells, 0))
    seconds = {cells: statistics.median(sweep.makespan for sweep in taken) for cells, taken in many.items()}
    cpu = {cells: statistics.median(sweep.cpu for sweep in taken) for cells, taken in many.items()}
    stolen = _stolen(times, psutil.cpu_times())
    words = (f"{cells}: {seconds[cells]:.1f} ({cpu[cells]:.1f}) s" for cells in sizes)
    console.print(f"empty cells, time (CPU time of the whole command): {', '.join(words)}")
    fewest, most = min(sizes), max(sizes)
    results = {
        "makespan_s": round(statistics.median(sweep.makespan for sweep in sweeps), 2),
        "makespans_s": [round(sweep.makespan, 2) for sweep in sweeps],
        "ideal_s": CELLS * SLEEP_SECONDS / AT_ONCE,
        "ray_startup_s": round(statistics.median(sweep.startup for sweep in sweeps), 2),
        "per_cell_s": round((seconds[most] - seconds[fewest]) / (most - fewest), 3),
        "per_cell_cpu_s": round((cpu[most] - cpu[fewest]) / (most - fewest), 3),
        "empty_cells_s": {str(cells): [round(sweep.makespan, 2) for sweep in taken] for cells, taken in many.items()},
        "empty_cells_cpu_s": {str(cells): [round(sweep.cpu, 2) for sweep in taken] for cells, taken in many.items()},
        "dvc_repro_s": round(statistics.median(serial), 2),
        "xargs_s": round(statistics.median(xargs), 2),
        "load": load,
        "stolen_percent": stolen,
        "hardware": describe_hardware(),
        "commit": current_commit(),
        "versions": versions(),
    }
    console.print(_table(results))
    if stolen > 2:
        console.print(f"{stolen}% of the CPU time went to other virtual machines of this host", style="yellow")
    if output:
        write_atomically(output, (json.dumps(results, indent=2) + "\n").encode())
        console.print(f"written: {output}")


def _stolen(before: Any, after: Any) -> float:
    """The share of CPU time that the host gave to others, in percent; 0 where the system doesn't report it."""
    total = sum(after) - sum(before)
    return round(100 * (getattr(after, "steal", 0.0) - getattr(before, "steal", 0.0)) / total, 1) if total else 0.0


class _Sweep(NamedTuple):
    """Times of a sweep in seconds.

    Attributes:
        makespan: from the first cell's start to the last commit.
        startup: before the first cell's start.
        cpu: CPU time of the whole machine while the command ran.
    """

    makespan: float
    startup: float
    cpu: float


def _sweep(cells: int, seconds: float) -> _Sweep:
    with _repository(cells, seconds) as folder, chdir(folder):
        before = psutil.cpu_times()
        _run([sys.executable, "-m", "resgrid", "sweep"])
        after = psutil.cpu_times()
        client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
        (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
        metrics = run.data.metrics
        cpu = (after.user + after.system) - (before.user + before.system)
        return _Sweep(metrics["sweep/makespan_seconds"], metrics["sweep/ray_startup_seconds"], cpu)


def _timed(command: list[str], cells: int, seconds: float) -> float:
    with _repository(cells, seconds) as folder, chdir(folder):
        start = time.perf_counter()
        _run(command)
        return time.perf_counter() - start


def _run(command: list[str]) -> None:
    environment = os.environ | {
        "PYTHONPATH": f"src{os.pathsep}.",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RAY_OVERRIDE_RESOURCES": json.dumps({"CPU": AT_ONCE}),  # sleeping cells need no cores
    }
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")


def _xargs() -> str:
    return (
        f"dvc stage list --name-only | grep '^train@' | "
        f"xargs -P{AT_ONCE} -I{{}} dvc --wait-for-lock repro --quiet --single-item {{}}"
    )


@contextmanager
def _repository(cells: int, seconds: float) -> Iterator[Path]:
    """A temporary repository of cells that sleep and write one line."""
    with TemporaryDirectory(prefix="resgrid-bench-") as folder:
        root = Path(folder).resolve()
        for part in ("src", "pipeline"):
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(REPOSITORY / part, root / part, ignore=ignored)
        (root / ".dvc").mkdir()
        shutil.copy(REPOSITORY / ".dvc/config", root / ".dvc/config")
        yaml = YAML(typ="safe", pure=True)
        params = yaml.load(REPOSITORY / "params.yaml")
        params["grid"] = {"network": ["plain8"], "seed": list(range(cells))}
        yaml.dump(params, root / "params.yaml")
        stage = {
            "matrix": {"network": "${grid.network}", "seed": "${grid.seed}"},
            "cmd": f"sleep {seconds:g} && mkdir -p runs/${{key}} && echo ${{key}} > runs/${{key}}/weights.txt",
            "deps": ["data/prepared/card.json"],
            "outs": ["runs/${key}/weights.txt"],
        }
        yaml.dump({"stages": {"train": stage}}, root / "dvc.yaml")
        write_prepared(PreparedPaths(root / "data/prepared"), (1, 8, 8))
        subprocess.run(["git", "init", "--quiet", str(root)], check=True)
        yield root


def _table(results: dict[str, object]) -> Table:
    table = Table(title=f"{CELLS} cells of {SLEEP_SECONDS} s, {AT_ONCE} in parallel")
    table.add_column("")
    table.add_column("seconds", justify="right")
    for label, key in (
        ("lower bound", "ideal_s"),
        ("make sweep, first start to last commit", "makespan_s"),
        ("Ray's start", "ray_startup_s"),
        (f"xargs -P{AT_ONCE} dvc --wait-for-lock repro -s", "xargs_s"),
        ("dvc repro", "dvc_repro_s"),
        ("per empty cell", "per_cell_s"),
        ("per empty cell, CPU time", "per_cell_cpu_s"),
    ):
        table.add_row(label, f"{results[key]:.2f}")
    return table


if __name__ == "__main__":
    run_command(sweep)
