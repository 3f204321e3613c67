"""Stores of runs: a new embedded one, and a cell with files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from resgrid.artifacts.cell_files import CURVE_COLUMNS, CellPaths, TrainMetrics
from resgrid.artifacts.files import csv_bytes, write_atomically
from resgrid.artifacts.run_record import RunRecord
from resgrid.cells import Cell
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


def trained_cell() -> RunRecord:
    """Write the files of a trained cell below the working folder, and return the record of a new run."""
    cell = Cell("plain8", 0)
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
        fingerprint="f" * 64,
    ).write(paths.metrics)
    return RunRecord(
        cell=cell.name,
        fingerprint="f" * 64,
        run_id=None,
        tracking_uri=None,
        experiment="digits",
        params={"optimizer.lr": "0.1"},
        tags={"shortcut": "none"},
    )
