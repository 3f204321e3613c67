"""Kill a training anywhere: it goes on inside the epoch and ends with the very same weights."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from support.repository import Repository

TRAIN = ("python", "-m", "pipeline.train", "--network", "resnet8-A", "--seed", "0")
OUTS = (
    *("weights.safetensors", "selected.safetensors", "trace.safetensors", "anchors.safetensors"),
    *("curve.csv", "gradients.csv", "metrics.json"),
)


def outs(repository: Repository) -> dict[str, bytes]:
    return {name: (repository.root / "runs/resnet8-A-0" / name).read_bytes() for name in OUTS}


def start(repository: Repository, *command: str) -> subprocess.Popen[bytes]:
    """In a process group of its own; messages go to `log`."""
    return repository.begin(log(repository), *command)


def log(repository: Repository) -> Path:
    return repository.root.with_name("log.txt")


def checkpoints(repository: Repository) -> list[Path]:
    return sorted((repository.root / ".resgrid/checkpoints").glob("*/step-*.ckpt"))


def wait_for_step(repository: Repository, step: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a checkpoint of that step, or a later one, has its checksum file."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        complete = (repository.root / ".resgrid/checkpoints").glob("*/step-*.seal.json")
        if any(int(path.name[5:13]) >= step for path in complete):
            return
        time.sleep(0.002)
    raise AssertionError(f"no checkpoint of step {step}: {log(repository).read_text()}")


def logged_steps(repository: Repository, key: str) -> list[int]:
    with closing(sqlite3.connect(repository.root / "mlruns/mlflow.db")) as database:
        return [step for (step,) in database.execute("SELECT step FROM metrics WHERE key = ? ORDER BY step", (key,))]


@pytest.fixture
def whole(repository: Repository, tmp_path: Path) -> dict[str, bytes]:
    """The outs of an uninterrupted run, made in the same folder, of which no trace is left. It warms up at first."""
    repository.set_params(
        schedule={"warmup": {"from_depth": 8, "lr": 0.01, "until_train_error": 80, "window": 4}},
    )
    repository.run(*TRAIN, RESGRID_STATE=str(tmp_path / "state"), MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/other.db")
    result = outs(repository)
    for name in OUTS:
        (repository.root / "runs/resnet8-A-0" / name).unlink()
    return result


def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(
    repository: Repository, whole: dict[str, bytes]
) -> None:
    process = start(repository, *TRAIN)
    wait_for_step(repository, 15, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    newest = checkpoints(repository)[-1]
    damaged = newest.read_bytes()[:-100]
    newest.write_bytes(damaged)  # as if the machine had died while writing

    messages = repository.run(*TRAIN).stderr
    assert f"{newest.name}: damaged (SHA-256 mismatch); the checkpoint is skipped" in messages
    assert "resumes from step-" in messages
    assert outs(repository) == whole
    assert checkpoints(repository) == []
    assert logged_steps(repository, "val/error") == [10, 20, 30, 40]
    (record,) = (repository.root / ".resgrid/records").glob("*.json")
    resumed_from = json.loads(record.read_text())["train"]["resumed_from"]
    assert len(resumed_from) == 1
    assert resumed_from[0] % 5 == 0


def test_a_terminated_training_saves_first(repository: Repository, whole: dict[str, bytes]) -> None:
    repository.set_params(machine={"checkpoint_every": 1000})
    process = start(repository, *TRAIN)
    while "step 10/40" not in log(repository).read_text():
        assert process.poll() is None, log(repository).read_text()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 128 + signal.SIGTERM, log(repository).read_text()
    assert len(checkpoints(repository)) == 1
    assert "resumes from step-" in repository.run(*TRAIN).stderr
    ours = outs(repository)
    assert ours["weights.safetensors"] == whole["weights.safetensors"]
    assert ours["trace.safetensors"] == whole["trace.safetensors"]
    assert ours["curve.csv"] == whole["curve.csv"]
    assert ours["gradients.csv"] == whole["gradients.csv"]


def test_other_parameters_start_afresh(repository: Repository) -> None:
    process = start(repository, *TRAIN)
    wait_for_step(repository, 10, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    repository.set_params(optimizer={"lr": 0.05})
    assert "resumes from" not in repository.run(*TRAIN).stderr


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_certificate_random_kills_under_dvc_change_no_bit(repository: Repository, tmp_path: Path, devices: int) -> None:
    """What `make certify` shows: DVC's own run, killed several times at random moments, against an undisturbed one."""
    repository.set_params(
        grid={"network": ["resnet8-A"]},
        train={"max_steps": 120, "val_every": 20, "devices": devices},
        machine={"checkpoint_every": 7},
        schedule={"milestones": [60, 90]},
    )
    repository.run(*TRAIN, RESGRID_STATE=str(tmp_path / "state"), MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/other.db")
    whole = outs(repository)
    for name in OUTS:
        (repository.root / "runs/resnet8-A-0" / name).unlink()
    generator = random.Random(0)
    for step in (7, 35, 70, 98):
        process = start(repository, "dvc", "repro", "train@resnet8-A-0")
        wait_for_step(repository, step, process)
        time.sleep(generator.uniform(0, 0.3))
        os.killpg(process.pid, signal.SIGKILL if generator.random() < 0.7 else signal.SIGTERM)
        process.wait()
    repository.run("dvc", "repro", "train@resnet8-A-0")
    assert outs(repository) == whole
    assert logged_steps(repository, "val/error") == [20, 40, 60, 80, 100, 120]
