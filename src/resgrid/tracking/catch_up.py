"""Sends to MLflow what it lacks, from cells' files and run records: figures, and what a failed store missed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock
from mlflow import MlflowClient
from PIL import Image

from resgrid.artifacts.cell_files import CellPaths, TrainMetrics
from resgrid.artifacts.files import state_folder
from resgrid.artifacts.run_record import RunRecord, record_path
from resgrid.cells import parse_cell
from resgrid.terminal import console
from resgrid.tracking.abandoned import end_abandoned_runs
from resgrid.tracking.cells import send_results
from resgrid.tracking.figures import draw_figures
from resgrid.tracking.groups import Describe, write_groups
from resgrid.tracking.mlflow_run import is_permanent
from resgrid.tracking.records import CellRun
from resgrid.tracking.runs import find_runs, is_cell, mark_states, present_runs
from resgrid.tracking.store import first_line, open_client, server_or_database
from resgrid.tracking.views import write_views


def catch_up(describe: Describe) -> None:
    """Send the figures of finished cells and what MLflow may lack else, and bring what MLflow's pages show up to date.

    Args:
        describe: the report's statistics of a metric over seeds.

    Raises:
        OSError: a run record can't be written.
        ValueError: the store can't be opened, or a file is damaged.
    """
    state_folder().mkdir(parents=True, exist_ok=True)
    with FileLock(state_folder() / "track.lock"):  # two at once would write the runs of networks twice
        _catch_up(open_client(), describe)


def _catch_up(client: MlflowClient, describe: Describe) -> None:
    end_abandoned_runs(client, [experiment.experiment_id for experiment in client.search_experiments()])
    for record in _incomplete():
        console.print(f"{record.cell}: {_send(client, record)}", markup=False)
    present = present_runs()
    for experiment in client.search_experiments():  # those of the runs just sent as well
        runs = find_runs(client, experiment.experiment_id, "tags.cell LIKE '%'")
        if cells := [run for run in runs if is_cell(run)]:
            write_groups(client, experiment.experiment_id, mark_states(client, cells, present), describe)
            write_views(client, experiment)


def _incomplete() -> Iterator[RunRecord]:
    for path in sorted((state_folder() / "records").glob("*.json")):
        record = RunRecord.read(path)
        if record.unsent or (record.evaluate and not record.has_figures):
            yield record


def _send(client: MlflowClient, record: RunRecord) -> str:
    """Send a cell's results and figures, and describe the outcome."""
    paths = CellPaths(parse_cell(record.cell))
    if not paths.metrics.is_file() or TrainMetrics.read(paths.metrics).fingerprint != record.fingerprint:
        return "not trained to the end; nothing is sent"
    if record.tracking_uri != server_or_database():
        return f"its run is in {record.tracking_uri or 'mlruns/'}; set MLFLOW_TRACKING_URI to send it there"
    if record.unsent:
        run = CellRun(record, monitors=False)
        send_results(run.run, paths, record)
        run.finish()
        record = run.record
    if record.unsent or record.run_id is None:
        return "MLflow lacks a part; run `resgrid track` again"
    try:
        _send_figures(client, record.run_id, paths)
        _send_weights(client, record.run_id, paths)
    except Exception as error:  # of MLflow, of SQLAlchemy, or of a database's driver
        if not is_permanent(error):
            return f"MLflow lacks the figures ({first_line(error)}); run `resgrid track` again"
    record.model_copy(update={"has_figures": True}).write(record_path(paths.cell, record.fingerprint))
    return "sent to MLflow"


def _send_figures(client: MlflowClient, run_id: str, paths: CellPaths) -> None:
    """Send figures as images of the last step, which MLflow's pages show next to those of other runs."""
    step = TrainMetrics.read(paths.metrics).steps
    for name, picture in draw_figures(paths).items():
        client.log_image(run_id, Image.open(io.BytesIO(picture)), key=f"figures/{Path(name).stem}", step=step)


def _send_weights(client: MlflowClient, run_id: str, paths: CellPaths) -> None:
    outputs = client.get_run(run_id).outputs
    if outputs is not None and outputs.model_outputs and paths.weights.is_file():
        client.log_model_artifact(outputs.model_outputs[0].model_id, str(paths.weights))
