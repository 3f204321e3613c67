"""The runs of an experiment: which of them are of cells, and which hold the newest results of their cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlflow import MlflowClient
from mlflow.entities import Run

from resgrid.artifacts.cell_files import TrainMetrics
from resgrid.artifacts.files import RUNS, state_folder
from resgrid.artifacts.run_record import RunRecord
from resgrid.cells import parse_cell
from resgrid.tracking.store import server_or_database
from resgrid.tracking.tags import CELL, CURRENT, FAILED, STATE, SUPERSEDED, TRIAL, TYPE

_RUNS_AT_MOST = 50_000  # MLflow's limit of one search


def find_runs(client: MlflowClient, experiment_id: str, filter_string: str = "") -> list[Run]:
    """Return the active runs of an experiment, the newest first."""
    return list(client.search_runs([experiment_id], filter_string, max_results=_RUNS_AT_MOST))


def is_cell(run: Run) -> bool:
    """Tell whether a run is of a cell. Runs of earlier versions have no tag for their type."""
    tags = run.data.tags
    return "cell" in tags and tags.get(TYPE, TRIAL if "search.trial" in tags else CELL) == CELL


def network_of(run: Run) -> str:
    """Return the network of a cell's or a network's run."""
    return run.data.tags.get("network") or parse_cell(run.data.tags["cell"]).network


def present_runs() -> set[str]:
    """Return the ids of the runs in this store whose results are the files below `runs/`.

    Raises:
        ValueError: a file is damaged.
    """
    fingerprints = {TrainMetrics.read(path).fingerprint for path in RUNS.glob("*/metrics.json")}
    records = map(RunRecord.read, sorted((state_folder() / "records").glob("*.json")))
    return {
        record.run_id
        for record in records
        if record.fingerprint in fingerprints and record.run_id and record.tracking_uri == server_or_database()
    }


def mark_states(client: MlflowClient, cells: Iterable[Run], present: set[str]) -> list[Run]:
    """Tag each cell's run as current, superseded or failed, and return the finished current runs.

    Of the finished runs of a cell, that of the present results is current, or else the newest.

    Args:
        cells: the runs of cells of one experiment.
        present: ids of the runs of the present results.
    """
    runs = list(cells)
    finished = [run for run in runs if run.info.status == "FINISHED"]
    newest = {run.data.tags["cell"]: run for run in sorted(finished, key=lambda run: _rank(run, present))}
    for run in runs:
        state = {"FINISHED": SUPERSEDED, "FAILED": FAILED, "KILLED": FAILED}.get(run.info.status, CURRENT)
        if run is newest.get(run.data.tags["cell"]):
            state = CURRENT
        set_tags(client, run, {TYPE: CELL, STATE: state})
    return list(newest.values())


def _rank(run: Run, present: set[str]) -> tuple[bool, int]:
    return run.info.run_id in present, run.info.start_time


def set_tags(client: MlflowClient, run: Run, tags: Mapping[str, str]) -> None:
    """Set the tags of a run that differ."""
    for name, value in tags.items():
        if run.data.tags.get(name) != value:
            client.set_tag(run.info.run_id, name, value)


def weights_of(run: Run) -> str | None:
    """Return the id of the logged model of a run; None if it has none."""
    outputs = run.outputs.model_outputs if run.outputs is not None else []
    return outputs[0].model_id if outputs else None
