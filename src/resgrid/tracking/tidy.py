"""Deletion of runs that no result needs: superseded, failed and orphaned ones, with their artifacts."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import NamedTuple

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from resgrid.tracking.runs import find_runs, is_cell, mark_states, present_runs
from resgrid.tracking.store import open_client, tracking_uri
from resgrid.tracking.tags import FAILED, NETWORK, STATE, SUPERSEDED, TRIAL, TYPE


class Needless(NamedTuple):
    """A run that no result needs, and why."""

    run: Run
    reason: str


def find_needless() -> list[Needless]:
    """Return the runs that no present result and no registered model rests on.

    Superseded and failed runs of cells, trials whose search was deleted, and deleted runs of networks.

    Raises:
        ValueError: the store can't be opened, or a file is damaged.
    """
    client = open_client()
    present = present_runs()
    needed = present | _registered(client)
    found = []
    for experiment in client.search_experiments():
        runs = find_runs(client, experiment.experiment_id)
        mark_states(client, filter(is_cell, runs), present)
        runs, ids = find_runs(client, experiment.experiment_id), {run.info.run_id for run in runs}
        found += [Needless(run, reason) for run in runs if (reason := _reason(run, ids))]
        deleted = client.search_runs([experiment.experiment_id], f"tags.{TYPE} = '{NETWORK}'", ViewType.DELETED_ONLY)
        found += [Needless(run, "replaced by a run with other seeds") for run in deleted]
    return [each for each in found if each.run.info.run_id not in needed]


def delete(needless: list[Needless]) -> None:
    """Delete runs with their models and artifacts; on a tracking server, its `mlflow gc` has to delete them for good.

    Raises:
        ValueError: MLflow can't delete them.
    """
    client = open_client()
    runs = [each.run for each in needless]
    models = [output.model_id for run in runs if run.outputs is not None for output in run.outputs.model_outputs]
    for run in runs:
        if run.info.lifecycle_stage == "active":
            client.delete_run(run.info.run_id)
    for model in models:
        client.delete_logged_model(model)
    if tracking_uri().startswith("http") or not runs:
        return
    command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", tracking_uri()]
    command += ["--run-ids", ",".join(run.info.run_id for run in runs)]
    command += ["--logged-model-ids", ",".join(models)] if models else []
    environment = os.environ | {"MLFLOW_TRACKING_URI": tracking_uri()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"{len(runs)} runs: marked as deleted, but `mlflow gc` failed: {done.stderr[-500:]}")


def _registered(client: MlflowClient) -> set[str]:
    """Return the ids of the runs of registered models."""
    return {str(version.run_id) for version in client.search_model_versions() if version.run_id}


def _reason(run: Run, runs: set[str]) -> str | None:
    """Say why a run is needless; None if it is needed."""
    tags = run.data.tags
    if is_cell(run):
        return tags[STATE] if tags.get(STATE) in (SUPERSEDED, FAILED) else None
    return "orphaned" if tags.get(TYPE) == TRIAL and tags.get("search") not in runs else None
