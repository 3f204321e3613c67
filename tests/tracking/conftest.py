"""Stores of runs: a new embedded one, and a cell with files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from resgrid.artifacts.cell_files import CURVE_COLUMNS, CellPaths, TestMetrics, TrainMetrics
from resgrid.artifacts.files import csv_bytes, sha256_of_text, write_atomically
from resgrid.artifacts.run_record import RunRecord, StageRecord
from resgrid.cells import Cell
from resgrid.tracking.cells import send_results
from resgrid.tracking.records import CellRun
from resgrid.tracking.store import open_client

CURVE = [(step, step / 10, 0.1, 2.0 / step, 90.0, 2.5 / step, 80.0) for step in range(10, 60, 10)]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a new store: creating its tables takes seconds, so it is done once and copied."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        open_client()
    return folder


@pytest.fixture
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with an empty store."""
    folder = tmp_path / "repository"
    shutil.copytree(empty_store, folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("RESGRID_STATE", raising=False)
    return folder


def trained_cell(cell: Cell = Cell("plain8", 0), fingerprint: str = "f" * 64) -> RunRecord:  # noqa: B008
    """Write the files of a trained cell below the working folder, and return the record of a new run."""
    paths, steps = CellPaths(cell), CURVE[-1][0]
    write_atomically(paths.curve, csv_bytes(CURVE_COLUMNS, CURVE))
    TrainMetrics(
        network=cell.network,
        seed=cell.seed,
        parameters=1,
        steps=steps,
        epochs=1,
        train_loss=1,
        train_error=1,
        val_loss=1,
        val_error=1,
        selected_step=steps,
        selected_val_error=1,
        precision="32",
        fingerprint=fingerprint,
    ).write(paths.metrics)
    return RunRecord(
        cell=cell.name,
        fingerprint=fingerprint,
        run_id=None,
        tracking_uri=None,
        experiment="digits",
        params={"optimizer.lr": "0.1"},
        tags={"shortcut": "none"},
    )


def evaluated_cell(cell: Cell, test_error: float, fingerprint: str = "") -> str:
    """Write the files of an evaluated cell, send them to the store, and return the id of its run."""
    fingerprint = fingerprint or sha256_of_text(cell.name)
    record, paths = trained_cell(cell, fingerprint), CellPaths(cell)
    TestMetrics(
        test_loss=0.1, test_error=test_error, selected_test_error=test_error, per_class_error={}, images=360
    ).write(paths.evaluation)
    paths.weights.write_bytes(b"weights")
    stage = StageRecord(
        started="2026-11-25T08:00:00+00:00",
        seconds=20,
        images_per_second=100 + cell.seed,
        resumed_from=[],
        commit="c" * 40,
        host="host",
        hardware="CPU",
        devices=1,
        threads=1,
        precision="32",
        versions={},
    )
    params = {"network": cell.network, "seed": str(cell.seed), "data.train_images": "1197", "optimizer.lr": "0.1"}
    tags = {"type": "cell", "state": "current", "cell": cell.name, "network": cell.network, "data_hash": "d" * 64}
    tags["fingerprint"] = fingerprint
    later = stage.model_copy(update={"started": "2026-11-25T09:00:00+00:00", "seconds": 5})
    run = CellRun(record.model_copy(update={"params": params, "tags": tags, "train": stage, "evaluate": later}), False)
    send_results(run.run, paths, run.record)
    run.finish()
    assert run.run.run_id is not None
    return run.run.run_id
