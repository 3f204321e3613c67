"""Sends to MLflow what it lacks, from cells' files and run records: figures, and what a failed store missed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from mlflow import MlflowClient

from resgrid.artifacts.cell_files import CellPaths, TrainMetrics
from resgrid.artifacts.files import state_folder
from resgrid.artifacts.run_record import RunRecord, record_path
from resgrid.cells import parse_cell
from resgrid.terminal import console
from resgrid.tracking.abandoned import end_abandoned_runs
from resgrid.tracking.cells import send_results
from resgrid.tracking.figures import draw_figures
from resgrid.tracking.mlflow_run import is_permanent
from resgrid.tracking.records import CellRun
from resgrid.tracking.store import first_line, open_client, server_or_database


def catch_up() -> None:
    """Send the figures of finished cells and what MLflow may lack else, and end the runs of dead processes.

    Raises:
        OSError: a run record can't be written.
        ValueError: the store can't be opened, or a file is damaged.
    """
    client = open_client()
    end_abandoned_runs(client, [experiment.experiment_id for experiment in client.search_experiments()])
    for record in _incomplete():
        console.print(f"{record.cell}: {_send(client, record)}", markup=False)


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
    except Exception as error:  # of MLflow, of SQLAlchemy, or of a database's driver
        if not is_permanent(error):
            return f"MLflow lacks the figures ({first_line(error)}); run `resgrid track` again"
    record.model_copy(update={"has_figures": True}).write(record_path(paths.cell, record.fingerprint))
    return "sent to MLflow"


def _send_figures(client: MlflowClient, run_id: str, paths: CellPaths) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in draw_figures(paths).items():
            (Path(folder) / name).write_bytes(picture)
        client.log_artifacts(run_id, folder, "figures")
