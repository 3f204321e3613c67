"""Sends to MLflow what it lacks after a failure of its store, from cells' files and run records."""

from __future__ import annotations

from collections.abc import Iterator

from resgrid.artifacts.cell_files import CellPaths, TrainMetrics
from resgrid.artifacts.files import state_folder
from resgrid.artifacts.run_record import RunRecord
from resgrid.cells import parse_cell
from resgrid.terminal import console
from resgrid.tracking.abandoned import end_abandoned_runs
from resgrid.tracking.cells import send_results
from resgrid.tracking.records import CellRun
from resgrid.tracking.store import open_client, server_or_database


def catch_up() -> None:
    """Send the results of finished cells that MLflow may lack, and end the runs of dead processes.

    Raises:
        OSError: a run record can't be written.
        ValueError: the store can't be opened, or a file is damaged.
    """
    client = open_client()
    end_abandoned_runs(client, [experiment.experiment_id for experiment in client.search_experiments()])
    for record in _unsent():
        console.print(f"{record.cell}: {_send(record)}", markup=False)


def _unsent() -> Iterator[RunRecord]:
    for path in sorted((state_folder() / "records").glob("*.json")):
        record = RunRecord.read(path)
        if record.unsent:
            yield record


def _send(record: RunRecord) -> str:
    """Send a cell's results, and describe the outcome."""
    paths = CellPaths(parse_cell(record.cell))
    if not paths.metrics.is_file() or TrainMetrics.read(paths.metrics).fingerprint != record.fingerprint:
        return "not trained to the end; nothing is sent"
    if record.tracking_uri != server_or_database():
        return f"its run is in {record.tracking_uri or 'mlruns/'}; set MLFLOW_TRACKING_URI to send it there"
    run = CellRun(record, monitors=False)
    send_results(run.run, paths, record)
    run.finish()
    return "MLflow lacks a part; run `resgrid track` again" if run.record.unsent else "sent to MLflow"
