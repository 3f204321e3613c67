"""What nodes get to run cells: a snapshot of the code, each stage's dependencies, and settings of all cells.

All of it is plain values, because nodes need not have this repository.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
from ruamel.yaml import YAML

from resgrid.artifacts.files import state_folder, write_atomically
from resgrid.config.machine import PROMISED_GPUS, MachineConfig
from resgrid.config.reading import PARAMS_FILE
from resgrid.config.sweep import ResourcesConfig, SweepConfig
from resgrid.data.reading.image_location import IMAGES_VARIABLE
from resgrid.sources.closure import import_closure
from resgrid.sources.manifest import check_manifest
from resgrid.sweep.graph import CELL_STAGES, Graph, Snapshot
from resgrid.tracking import EMBEDDED, PARENT_RUN
from resgrid.tracking.lineage import COMMIT, current_commit

# Packages that cells import slowly: a supervisor imports them once. None is code of the project.
WARM = (
    *("torch", "torchvision", "pytorch_lightning", "pandas", "matplotlib.figure", "matplotlib.backends.backend_agg"),
    *("mlflow", "mlflow.store.tracking.sqlalchemy_store", "mlflow.system_metrics.system_metrics_monitor"),
)


def stage_job(snapshot: Snapshot, machine: MachineConfig) -> dict[str, Any]:
    """Describe a pipeline stage for `cell_runner.run_cell`."""
    params = parameter_files(snapshot.params, machine)
    return {
        "stage": snapshot.stage,
        "commands": snapshot.commands,
        "cached": {path: (source, snapshot.files[path]) for path, source in snapshot.cached.items()},
        "contents": snapshot.contents | {path: text.encode() for path, text in params.items()},
        "outs": snapshot.outs,
        "made_by_train": snapshot.made_by_train,
        "inputs": snapshot.inputs,
    }


def parameter_files(params: dict[str, dict[str, Any]], machine: MachineConfig) -> dict[str, str]:
    """The YAML of a stage's parameter files.

    Args:
        params: the stage's parameters by file.
        machine: the section `machine` of params.yaml, which stages read although they don't depend on it.
    """
    yaml, files = YAML(typ="safe", pure=True), {}
    section = {"machine": machine.model_dump(mode="json")}
    for path, values in ({str(PARAMS_FILE): {}} | params).items():
        text = StringIO()
        yaml.dump(values | (section if path == str(PARAMS_FILE) else {}), text)
        files[path] = text.getvalue()
    return files


def settings_of_all(
    work: Path, graph: Graph, config: SweepConfig, parent_run: str | None, snapshots: list[Snapshot]
) -> dict[str, Any]:
    """Snapshot the code and return what all cells get.

    Args:
        work: the work directory.
        config: as `ray_cluster.cluster` yields it.
        parent_run: the MLflow run of the sweep or search.
        snapshots: of all stages that will run.

    Raises:
        ValueError: an input is damaged, or the code was edited after the stage `sources` described it.
    """
    graph.check_cache(snapshots)
    token = secrets.token_hex(16)
    write_atomically(work / "token", token.encode())
    return {
        "root": str(graph.root),
        "host": os.uname().nodename,
        "work": str(work),
        "state": str(state_folder().resolve()),
        "token": token,
        "readable": [str(graph.cache), str(EMBEDDED.resolve())],
        "environment": environment_of_cells(config.resources, parent_run),
        "code": _snapshot_code(graph.root, work / "code", snapshots),
        "warm": list(WARM),
    }


def environment_of_cells(resources: ResourcesConfig, parent_run: str | None) -> dict[str, str]:
    """Return the variables that all cells get.

    Args:
        resources: of each cell; `gpus` is a number.
        parent_run: the MLflow run of the sweep or search.
    """
    own = {
        COMMIT: current_commit() or "",
        PARENT_RUN: parent_run or "",
        "RESGRID_TRACKING": str(EMBEDDED.resolve()),
        PROMISED_GPUS: str(resources.gpus),
    }
    if resources.gpus == 0:
        own["CUDA_VISIBLE_DEVICES"] = ""  # a cell without a share of a GPU must not use one
    return {
        name: value for name, value in os.environ.items() if name.startswith("MLFLOW_") or name == IMAGES_VARIABLE
    } | own


def clean(work: Path) -> None:
    """Delete what an earlier sweep or search left, once its processes have exited."""
    wait_for_exit(work / "cells")
    for name in ("cells", "progress", "tune"):
        shutil.rmtree(work / name, ignore_errors=True)


def wait_for_exit(folder: Path) -> None:
    """Wait until no process of this machine works in a folder: terminated cells exit with a delay."""
    processes = [each for each in psutil.process_iter(["cwd"]) if each.info["cwd"]]
    psutil.wait_procs([each for each in processes if Path(each.info["cwd"]).is_relative_to(folder)], timeout=60)


def _snapshot_code(root: Path, folder: Path, snapshots: Iterable[Snapshot]) -> dict[str, bytes]:
    """Copy the code to a folder and check the copy against the manifests. Returns the files' content by path."""
    contents = {path: content for snapshot in snapshots for path, content in snapshot.contents.items()}
    manifests = {path: content for path, content in contents.items() if path.startswith("sources/")}
    here = Path(__file__).parent
    programs = {"supervisor.py": "supervisor.py", "undeclared_reads/sitecustomize.py": "undeclared_reads.py"}
    files = {path for stage in CELL_STAGES for path in import_closure(root / f"pipeline/{stage}.py").files}
    code = {path: (root / path).read_bytes() for path in sorted(files)} | manifests
    code |= {path: (here / name).read_bytes() for path, name in programs.items()}
    shutil.rmtree(folder, ignore_errors=True)
    from resgrid.sweep.cell_runner import write_files  # imports ray, which an up-to-date sweep doesn't need

    write_files(folder, code)
    for manifest in manifests:
        check_manifest(folder / manifest, folder)
    return code
