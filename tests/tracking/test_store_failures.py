"""Stores that fail, with real servers, processes and databases: one warning, no waiting, and nothing is lost."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from resgrid.artifacts.run_record import record_path
from resgrid.cells import Cell
from resgrid.commands.track import describe
from resgrid.tracking import Run, queue, start_run
from resgrid.tracking.catch_up import catch_up
from resgrid.tracking.records import CellRun, read_record
from resgrid.tracking.store import open_client, tracking_uri
from support.tracking_server import TrackingServer
from tracking.conftest import CURVE, trained_cell

AT_ONCE = 0.5  # seconds: far below a call that waits for a store


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "FIRST_PAUSE", 0.1)


@pytest.fixture
def server(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrackingServer]:
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(store / "mlruns/mlflow.db", folder)
    server = TrackingServer(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    try:
        yield server
    finally:
        server.kill()


def log_curve(run: Run) -> None:
    """Record a curve, which must take no time."""
    began = time.monotonic()
    for step, *_, val_error in CURVE:
        run.log_metrics(step, {"val/error": val_error})
    assert time.monotonic() - began < AT_ONCE


def steps(run_id: str | None, key: str = "val/error") -> list[int]:
    assert run_id is not None
    return [point.step for point in MlflowClient(tracking_uri()).get_metric_history(run_id, key)]


def warnings(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("tracking: ")]


def status(run_id: str | None) -> str:
    assert run_id is not None
    return MlflowClient(tracking_uri()).get_run(run_id).info.status


def test_a_killed_server_costs_one_warning_and_gets_everything_later(
    server: TrackingServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run = CellRun(trained_cell())
    assert run.run.run_id is not None
    server.kill()
    log_curve(run.run)
    began = time.monotonic()
    run.finish()
    assert time.monotonic() - began < 20
    (warning,) = warnings(capsys)
    assert warning.startswith(f"tracking: {server.url}: API request to")
    assert warning.endswith("; the run continues, and `resgrid track` sends what MLflow lacks")
    record = read_record(Cell("plain8", 0), "f" * 64)
    assert record is not None
    assert record.run_id is not None
    assert (record.unsent, record.run_id, record.tracking_uri) == (True, run.run.run_id, server.url)

    server.start()
    catch_up(describe)
    assert "plain8-0: sent to MLflow" in capsys.readouterr().err
    assert steps(record.run_id) == steps(record.run_id, "train/loss") == [10, 20, 30, 40, 50]
    stored = MlflowClient(server.url).get_run(record.run_id)
    assert (stored.info.status, stored.data.params) == ("FINISHED", {"optimizer.lr": "0.1"})
    assert "metrics.json" in [file.path for file in MlflowClient(server.url).list_artifacts(record.run_id)]
    figures = MlflowClient(server.url).list_artifacts(record.run_id, "images")
    assert {file.path.partition("+timestamp")[0] for file in figures} == {"images/figures~curve+step+50"}
    catch_up(describe)
    assert "plain8-0" not in capsys.readouterr().err


@pytest.mark.usefixtures("store")
def test_a_server_that_never_answers_makes_nothing_wait(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        began = time.monotonic()
        run = start_run("plain8-0", "digits", None)
        log_curve(run)
        assert not run.finish()
        assert time.monotonic() - began < 10
    (warning,) = warnings(capsys)
    assert warning.startswith("tracking: MLFLOW_TRACKING_URI: ")


@pytest.mark.usefixtures("quick_retries")
def test_a_locked_database_gets_everything_when_it_is_free_again(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start_run("plain8-0", "digits", None)
    assert run.run_id is not None
    with closing(sqlite3.connect(store / "mlruns/mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        log_curve(run)
        deadline = time.monotonic() + 60
        while not (found := warnings(capsys)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        other.execute("ROLLBACK")
    assert "database is locked" in found[0]
    assert run.finish()
    assert steps(run.run_id) == [10, 20, 30, 40, 50]
    assert warnings(capsys) == []


@pytest.mark.parametrize("damage", ["garbage", "other schema"])
def test_a_database_that_cannot_be_used_is_named(store: Path, capsys: pytest.CaptureFixture[str], damage: str) -> None:
    database = store / "mlruns/mlflow.db"
    if damage == "garbage":
        database.write_bytes(bytes(range(256)) * 20)
    else:
        with closing(sqlite3.connect(database)) as opened, opened:
            opened.execute("UPDATE alembic_version SET version_num = 'abc'")
    content = database.read_bytes()
    run = start_run("plain8-0", "digits", None)
    log_curve(run)
    assert not run.finish()
    (warning,) = warnings(capsys)
    assert warning.startswith("tracking: mlruns/mlflow.db: the runs' store can't be opened (")
    assert "move it away to begin with an empty store" in warning
    assert database.read_bytes() == content


@pytest.mark.parametrize("uri", ["file:///tmp/runs", "./runs", "gopher://host", "http://127.0.0.1:9"])
def test_an_address_that_is_not_a_store_is_named(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = start_run("plain8-0", "digits", None)
    log_curve(run)
    assert not run.finish()
    (warning,) = warnings(capsys)
    assert warning.startswith(f"tracking: MLFLOW_TRACKING_URI: {uri!r}: the runs' store can't be opened (")
    with pytest.raises(ValueError, match="name a running server or a database, or unset the variable"):
        open_client()


def test_a_password_is_never_printed_or_recorded(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = CellRun(trained_cell())
    run.finish()
    assert "secret" not in capsys.readouterr().err
    assert "secret" not in record_path(Cell("plain8", 0), "f" * 64).read_text()
    assert run.record.tracking_uri == "http://***@127.0.0.1:9"


@pytest.mark.usefixtures("store")
def test_a_deleted_experiment_is_restored(capsys: pytest.CaptureFixture[str]) -> None:
    start_run("plain8-0", "digits", None).finish()
    client = open_client()
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    assert start_run("plain8-1", "digits", None).finish()
    assert "digits" in [found.name for found in client.search_experiments(view_type=ViewType.ACTIVE_ONLY)]
    assert warnings(capsys) == ["tracking: the experiment 'digits' was deleted; it is restored"]


@pytest.mark.usefixtures("store", "quick_retries")
def test_an_experiment_deleted_during_the_run_costs_one_warning(capsys: pytest.CaptureFixture[str]) -> None:
    run = CellRun(trained_cell())
    run_id, client = run.run.run_id, open_client()
    assert run_id is not None
    client.delete_experiment(client.get_run(run_id).info.experiment_id)
    log_curve(run.run)
    run.finish()
    assert len(warnings(capsys)) == 1
    assert run.record.unsent
    catch_up(describe)
    record = read_record(Cell("plain8", 0), "f" * 64)
    assert record is not None
    assert (record.unsent, steps(record.run_id)) == (False, [10, 20, 30, 40, 50])


@pytest.mark.parametrize("size", [300_000, 600_000])
def test_a_store_whose_creation_was_killed_is_created_again(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    code = "from resgrid.tracking.store import open_client; open_client()"
    process = subprocess.Popen([sys.executable, "-c", code])
    while sum(path.stat().st_size for path in tmp_path.glob("mlruns/*[bw]")) < size:  # mlflow.db, mlflow.db.new
        assert process.poll() is None, "the store was created before its size reached the limit"
    process.kill()
    process.wait()
    open_client()
    assert {path.name for path in tmp_path.glob("mlruns/*")} == {"mlflow.db", "mlflow.db.lock"}


@pytest.mark.parametrize("name", ["feature%2Fx", "a? b#c"])
def test_folders_with_unusual_names_hold_a_store(empty_store: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(empty_store, tmp_path / "parent" / name)
    program = (
        "from resgrid.tracking import start_run\n"
        "run = start_run('plain8-0', 'digits', None)\n"
        "run.log_text('plan.json', '{}')\n"
        "assert run.finish()\n"
        "print(run.run_id)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    run_id = done.stdout.strip()
    assert (folder / f"mlruns/artifacts/{run_id}/artifacts/plan.json").read_text() == "{}"
    with closing(sqlite3.connect(folder / "mlruns/mlflow.db")) as database:
        assert database.execute("SELECT status FROM runs WHERE run_uuid = ?", [run_id]).fetchall() == [("FINISHED",)]
    assert [path.name for path in (tmp_path / "parent").iterdir()] == [name]


@pytest.mark.usefixtures("store")
def test_the_run_of_a_killed_process_ends_with_the_next_run() -> None:
    program = (
        "import os, signal\n"
        "from resgrid.tracking import start_run\n"
        "print(start_run('plain8-0', 'digits', None).run_id, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    run_id = killed.stdout.strip()
    assert status(run_id) == "RUNNING"
    first, second = start_run("plain8-1", "digits", None), start_run("plain8-2", "digits", None)
    assert first.run_id != second.run_id
    assert [status(run_id), status(first.run_id), status(second.run_id)] == ["KILLED", "RUNNING", "RUNNING"]
    first.finish()
    second.finish()
    assert [status(first.run_id), status(second.run_id)] == ["FINISHED", "FINISHED"]


def test_the_queue_is_bounded(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "POINTS_AT_MOST", 3)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./runs")
    run = start_run("plain8-0", "digits", None)
    assert isinstance(run, queue.QueuedRun)
    log_curve(run)
    assert len(run._points) == 3
    assert not run.finish()
