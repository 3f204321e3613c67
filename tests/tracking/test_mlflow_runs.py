"""Runs in a real embedded MLflow store."""

import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from resgrid.tracking import Untracked, start_run
from resgrid.tracking.store import open_client, tracking_uri


def history(run_id: str | None, key: str) -> list[tuple[int, float]]:
    assert run_id is not None
    return [(point.step, point.value) for point in MlflowClient(tracking_uri()).get_metric_history(run_id, key)]


def test_a_run_holds_parameters_tags_curves_and_files(store: Path) -> None:
    run = start_run("resnet20-A-0", "Digits (8×8)", None)
    run.log_params({"optimizer.lr": 0.1, "network": "resnet20-A"})
    run.set_tags({"fingerprint": "abc"})
    run.log_metrics(28, {"val/error": 30.0})
    run.log_metrics(56, {"val/error": 20.0})
    run.log_text("plan.json", "{}")
    run.finish()

    client = MlflowClient(tracking_uri())
    assert run.run_id is not None
    stored = client.get_run(run.run_id)
    assert stored.info.run_name == "resnet20-A-0"
    assert stored.info.status == "FINISHED"
    assert stored.data.params == {"optimizer.lr": "0.1", "network": "resnet20-A"}
    assert stored.data.tags["fingerprint"] == "abc"
    assert history(run.run_id, "val/error") == [(28, 30.0), (56, 20.0)]
    assert [file.path for file in client.list_artifacts(run.run_id)] == ["plan.json"]
    assert client.get_experiment(stored.info.experiment_id).name == "Digits (8×8)"


def test_a_resumed_run_goes_on_and_logs_no_step_twice(store: Path) -> None:
    first = start_run("plain8-0", "digits", None)
    for step in (1, 2, 3):
        first.log_metrics(step, {"val/error": float(step)})
    first.finish("KILLED")
    second = start_run("plain8-0", "digits", first.run_id)
    assert second.run_id == first.run_id
    for step in (3, 4, 4):  # the checkpoint was written after step 2
        second.log_metrics(step, {"val/error": float(step)})
    second.finish()
    assert history(second.run_id, "val/error") == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert second.run_id is not None
    assert MlflowClient(tracking_uri()).get_run(second.run_id).info.status == "FINISHED"


def test_a_run_that_is_gone_is_replaced_by_a_new_one(store: Path) -> None:
    run = start_run("plain8-0", "digits", "0" * 32)
    run.finish()
    assert run.run_id not in (None, "0" * 32)


def test_artifacts_are_still_there_after_the_folder_moved(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start_run("plain8-0", "digits", None)
    run.log_text("plan.json", "{}")
    run.finish()
    moved = store.rename(store.with_name("moved"))
    monkeypatch.chdir(moved)
    client = open_client()
    assert run.run_id is not None
    assert [file.path for file in client.list_artifacts(run.run_id)] == ["plan.json"]
    assert str(client.get_run(run.run_id).info.artifact_uri).startswith(moved.as_uri())


def test_processes_that_open_a_missing_store_at_once_all_get_it(tmp_path: Path) -> None:
    script = "from resgrid.tracking import start_run; start_run('plain8-0', 'digits', None).finish()"
    starts = [
        subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    outcomes = [(process.communicate()[1], process.returncode) for process in starts]
    assert [status for _, status in outcomes] == [0, 0, 0], outcomes
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 3


def test_without_mlflow_everything_goes_on(tmp_path: Path) -> None:
    # A real process in which mlflow can't be found.
    script = (
        "import importlib.machinery as m, sys\n"
        "find = m.PathFinder.find_spec\n"
        "m.PathFinder.find_spec = classmethod(lambda c, n, *a: None if n.split('.')[0] == 'mlflow' else find(n, *a))\n"
        "from resgrid.tracking import start_run\n"
        "run = start_run('plain8-0', 'digits', None)\n"
        "run.log_metrics(1, {'val/error': 1.0}); run.finish(); print(run.run_id)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
    assert "mlflow is not installed: the run is not tracked" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_run_that_nobody_records_takes_everything(tmp_path: Path) -> None:
    run = Untracked()
    run.log_params({"a": 1})
    run.log_metrics(1, {"a": 1.0})
    run.log_file(tmp_path / "nothing")
    run.finish()
    assert run.run_id is None
