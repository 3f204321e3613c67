"""Runs of processes that died: MLflow would list them as running forever."""

from __future__ import annotations

import os
from collections.abc import Sequence

import psutil
from mlflow import MlflowClient
from mlflow.entities import Run

from resgrid.tracking.lineage import host_name

# The tag with host, process id and start time of the process that records a run.
PROCESS = "resgrid.process"

# A process's start time changes by less if the clock is set.
_CLOCK_SECONDS = 5


def this_process() -> str:
    """Return the tag's value for this process."""
    return f"{host_name()} {os.getpid()} {psutil.Process().create_time():.0f}"


def end_abandoned_runs(client: MlflowClient, experiments: Sequence[str]) -> None:
    """End the runs in these experiments whose process, on this machine, no longer exists.

    Raises:
        Exception: of any kind, by MLflow, SQLAlchemy or a database's driver, if the store fails.
    """
    for run in client.search_runs(list(experiments), "attributes.status = 'RUNNING'"):
        if _is_abandoned(run):
            client.set_terminated(run.info.run_id, "KILLED")


def _is_abandoned(run: Run) -> bool:
    host, _, process = run.data.tags.get(PROCESS, "").partition(" ")
    if host != host_name():
        return False
    pid, started = process.split()
    try:
        return abs(psutil.Process(int(pid)).create_time() - int(started)) > _CLOCK_SECONDS
    except psutil.Error:
        return True
