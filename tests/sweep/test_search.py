"""A real search on a small repository: killed, resumed, and run again when it is over."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from support.repository import Repository

SEARCH = ("python", "-m", "resgrid", "search")
# The present learning rate, 0.1, comes first; a network learns nothing with this one.
USELESS = 1e-6


@pytest.fixture
def searched(repository: Repository) -> Repository:
    repository.set_params(
        grid={"network": ["plain8"], "seed": [1]},
        schedule={"milestones": [112, 336]},
        train={"max_steps": 448, "val_every": 28},
        machine={"checkpoint_every": 7},
        search={
            "network": "plain8",
            "seed": 1,
            "trials": 3,
            "searcher": "random",
            "space": {"optimizer.lr": {"choice": [0.1, 0.2, USELESS]}},
            "asha": {"grace_steps": 28, "reduction": 2},
        },
    )
    repository.run("dvc", "repro", "sources")  # the grid's networks have changed
    repository.commit("a search")
    return repository


def area(repository: Repository) -> Path:
    (folder,) = (repository.root / ".resgrid/searches").glob("plain8-1-*")
    return folder


def journal(repository: Repository) -> list[dict[str, object]]:
    paths = list((repository.root / ".resgrid/searches").glob("*/journal.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def ended(repository: Repository) -> list[dict[str, object]]:
    return [line for line in journal(repository) if "state" in line]


def processes(repository: Repository) -> list[psutil.Process]:
    """The processes that run trials."""
    cells = repository.root / ".resgrid/searches"
    return [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] and Path(p.info["cwd"]).is_relative_to(cells)]


def wait_for_end(repository: Repository) -> None:
    """Wait until all trials have exited."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and processes(repository):
        time.sleep(0.1)
    assert processes(repository) == []


def checkpoints(repository: Repository, but_of: list[dict[str, object]]) -> set[str]:
    """The trials that have a checkpoint, without those that ended."""
    done = {f"trial-{line['number']:03}" for line in but_of}
    seals = (repository.root / ".resgrid/searches").glob("*/trials/*/checkpoints/*/*.seal.json")
    return {seal.parents[2].name for seal in seals} - done


def wait_until(repository: Repository, driver: subprocess.Popen[bytes], seconds: float = 300) -> None:
    """Wait until a trial has ended and another trial has saved a checkpoint."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert driver.poll() is None, (repository.root / "search.log").read_text()
        if (done := ended(repository)) and checkpoints(repository, but_of=done):
            return
        time.sleep(0.01)
    raise AssertionError((repository.root / "search.log").read_text())


def test_a_killed_search_resumes_and_a_finished_one_reruns_nothing(searched: Repository) -> None:
    with (searched.root / "search.log").open("wb") as log:
        driver = subprocess.Popen(
            SEARCH, cwd=searched.root, env=searched.environ, stdout=log, stderr=log, start_new_session=True
        )
    wait_until(searched, driver)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    wait_for_end(searched)
    before = ended(searched)
    # A trial at its last steps may have finished: it starts again.
    saved = checkpoints(searched, but_of=before)

    done = searched.run(*SEARCH)

    lines = ended(searched)
    assert lines[: len(before)] == before
    assert sorted(line["number"] for line in lines if isinstance(line["number"], int)) == [0, 1, 2]
    states = {line["parameters"]["optimizer.lr"]: line["state"] for line in lines}  # pyright: ignore[reportIndexIssue, reportArgumentType]
    # Of the other two, ASHA may have stopped the one that came second.
    assert states[USELESS] == "stopped"
    assert "done" in states.values()
    logs = "".join(path.read_text() for path in (area(searched) / "logs").glob("*.log"))
    assert logs.count("resumes from step-") == len(saved)
    assert "(optimizer.lr=1e-06): stopped: its validation error at step 28 is" in done.stderr
    assert done.stdout in ("dvc exp run -S optimizer.lr=0.1\n", "dvc exp run -S optimizer.lr=0.2\n")
    kept = {path.name for path in (area(searched) / "best").iterdir()}
    assert {"weights.safetensors", "curve.csv", "metrics.json"} <= kept
    metrics = json.loads((area(searched) / "best/metrics.json").read_text())
    assert f"validation error of {metrics['val_error']:.2f}% after 448 steps" in done.stderr

    # The grid is unchanged, and no process or folder of a trial remains.
    assert not (searched.root / "runs").exists()
    assert searched.run("git", "status", "--porcelain", "--", "dvc.lock", "params.yaml").stdout == ""
    assert list((area(searched) / "trials").iterdir()) == []
    wait_for_end(searched)

    # One run per trial, even if it was interrupted, below the run of the search.
    with closing(sqlite3.connect(searched.root / "mlruns/mlflow.db")) as database:
        runs = dict(database.execute("SELECT name, status FROM runs").fetchall())
        count = database.execute("SELECT count(*) FROM runs").fetchone()[0]
        parents = database.execute("SELECT count(*) FROM tags WHERE key = 'mlflow.parentRunId'").fetchone()[0]
        ends = [value for (value,) in database.execute("SELECT value FROM tags WHERE key = 'search.end'")]
    stopped = {f"plain8-1 trial-{line['number']:03}" for line in lines if line["state"] == "stopped"}
    assert (count, parents) == (4, 3)
    assert {name for name, status in runs.items() if status == "KILLED"} == stopped
    assert runs["search plain8"] == "FINISHED"
    assert {"done", "stopped early at step 28"} <= set(ends)
    assert len(ends) == 3

    again = searched.run(*SEARCH)
    assert again.stdout == done.stdout
    assert "started" not in again.stderr
    assert ended(searched) == lines


def test_mistakes_are_reported_before_anything_runs(repository: Repository) -> None:
    repository.set_params(search={"network": "resnet20-A", "asha": None})
    refused = repository.run(*SEARCH, check=False)
    assert refused.returncode == 1
    assert "search.network: 'resnet20-A' with search.seed 0 is not a cell of the grid" in refused.stderr
    repository.set_params(search={"network": "plain8", "asha": {"grace_steps": 40, "reduction": 3}})
    refused = repository.run(*SEARCH, check=False)
    assert "search.asha.grace_steps: 40: too late; use less than train.max_steps, 40" in refused.stderr
    assert not (repository.root / ".resgrid/searches").exists()
