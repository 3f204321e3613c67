"""Sweeps on clusters of separate Ray processes on loopback: a node dies, or a node can't read the repository."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests
from mlflow import MlflowClient

from support.repository import Repository
from support.swept_repository import CAN_MOUNT, SweptRepository, make_swept_repository, wait_until

ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "MLFLOW_DISABLE_TELEMETRY": "true"}
BIN = Path(sys.executable).parent


class Cluster:
    """A Ray cluster of separate processes; its head has no CPUs, so cells run on the nodes that are added."""

    def __init__(self) -> None:
        # Short, because paths of Ray's sockets below it may have at most 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))
        self.address = f"127.0.0.1:{_free_port()}"
        self._logs: dict[subprocess.Popen[bytes], Path] = {}
        port = self.address.rpartition(":")[2]
        self._start(
            ["--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={self.folder}"]
        )
        wait_until(lambda: _is_open(self.address), "Ray's head")

    def add_node(self, *wrapper: str) -> subprocess.Popen[bytes]:
        """Add a node with one CPU; `wrapper` is a command that starts the node, such as `unshare`."""
        node = self._start([f"--address={self.address}", "--num-cpus=1"], wrapper)
        wait_until(lambda: "Ray runtime started" in self._logs[node].read_text(), "a node of the cluster")
        return node

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """Kill all processes of a node at once, as a power failure does."""
        processes = [psutil.Process(node.pid), *psutil.Process(node.pid).children(recursive=True)]
        for process in processes:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        node.wait()

    def close(self) -> None:
        for process in self._logs:
            if process.poll() is None:
                self.kill(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, options: list[str], wrapper: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        command = [*wrapper, str(BIN / "ray"), "start", "--block", "--node-ip-address=127.0.0.1", *options]
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | ENVIRONMENT
        environ["TMPDIR"] = str(self.folder / "tmp")
        Path(environ["TMPDIR"]).mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".log", delete=False) as log:
            process = subprocess.Popen(command, cwd="/", env=environ, stdout=log, stderr=log, start_new_session=True)
        self._logs[process] = Path(log.name)
        return process


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture
def tracking_server(tmp_path: Path) -> Iterator[str]:
    """The URL of an MLflow server."""
    port = _free_port()
    folder = tmp_path / "server"
    folder.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder)]
    environ = os.environ | ENVIRONMENT | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = subprocess.Popen(
        command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(f"{address}/health"), "the MLflow server")
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_a_cell_whose_node_dies_resumes_on_another_node(swept: SweptRepository, cluster: Cluster) -> None:
    swept.set_params(
        sweep={"address": cluster.address},
        train={"max_steps": 12},
        grid={"network": ["plain8", "resnet8-A"], "seed": [0]},
    )
    cells = ("plain8-0", "resnet8-A-0")
    swept.hold(8, *cells)
    first, _ = cluster.add_node(), cluster.add_node()
    sweep = swept.begin_sweep(**ENVIRONMENT)
    wait_until(lambda: all(swept.saved_step(cell) >= 5 for cell in cells), "a few steps of both")
    cluster.kill(first)
    swept.release()
    assert sweep.wait(timeout=500) == 0, swept.log.read_text()
    begins = sorted((swept.begins(cell) for cell in cells), key=len)
    assert begins[0] == [0]
    assert begins[1][0] == 0
    assert begins[1][1] >= 5
    assert swept.stale() == {}
    assert not swept.processes()


@pytest.mark.skipif(not CAN_MOUNT, reason="needs the right to make a mount namespace")
def test_a_node_that_cannot_read_the_repository_trains_a_cell(
    swept: SweptRepository, cluster: Cluster, tracking_server: str, tmp_path: Path
) -> None:
    grid = {"network": ["plain8"], "seed": [0]}
    by_dvc = make_swept_repository(tmp_path / "by_dvc")
    by_dvc.set_params(grid=grid, train={"max_steps": 12})
    by_dvc.run("dvc", "repro")
    swept.set_params(grid=grid, train={"max_steps": 12}, sweep={"address": cluster.address, "max_failures": 0})
    hide = f'mount -t tmpfs none {swept.root} && exec "$@"'
    cluster.add_node("unshare", "--mount", "--map-root-user", "sh", "-c", hide, "sh")

    without_server = swept.sweep(**ENVIRONMENT)
    assert without_server.returncode == 1
    assert f"can't read {swept.root}, so it can't track runs there; start an MLflow server" in without_server.stderr

    shared = cluster.folder / f"tmp/resgrid-{os.getuid()}"
    shared.mkdir()  # as another user could, who would then replace the supervisor
    shared.chmod(0o777)
    refused = swept.sweep(**ENVIRONMENT, MLFLOW_TRACKING_URI=tracking_server)
    assert refused.returncode == 1
    assert f"{shared}: not a private folder of this user; delete it" in refused.stderr
    shared.rmdir()

    swept.set_params(sweep={"max_failures": 1})
    before = (swept.root / ".resgrid/sweep/token").read_text()
    sweep = swept.begin_sweep(**ENVIRONMENT, MLFLOW_TRACKING_URI=tracking_server)
    wait_until(lambda: (swept.root / ".resgrid/sweep/token").read_text() != before, "the sweep's token")
    work = shared / (swept.root / ".resgrid/sweep/token").read_text()
    hold = work / "state/plain8-0/hold/plain8-0"
    wait_until(work.exists, "the node's work directory")
    assert shared.stat().st_mode & 0o777 == 0o700
    hold.parent.mkdir(parents=True)
    hold.write_text("8")
    # The checkpoint arrives from the node.
    wait_until(lambda: swept.saved_step("plain8-0") == 8, "a few steps")
    (process,) = [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(work / "cells/train@plain8-0")]
    process.send_signal(signal.SIGKILL)
    shutil.rmtree(hold.parent)
    assert sweep.wait(timeout=300) == 0, swept.log.read_text()
    assert swept.dvc_lock() == by_dvc.dvc_lock()
    for name in ("weights.txt", "metrics.json", "evaluation.json"):
        path = Path("runs/plain8-0") / name
        assert (swept.root / path).read_bytes() == (by_dvc.root / path).read_bytes()
    assert swept.begins("plain8-0") == [0, 8]
    assert not work.exists()
    assert (swept.root / ".resgrid/sweep/logs/train@plain8-0.log").exists()
    assert swept.stale() == {}


@pytest.mark.skipif(not CAN_MOUNT, reason="needs the right to make a mount namespace")
def test_a_trial_resumes_from_checkpoints_of_a_node_that_cannot_read_the_repository(
    repository: Repository, cluster: Cluster, tracking_server: str
) -> None:
    repository.set_params(
        grid={"network": ["plain8"], "seed": [1]},
        schedule={"milestones": []},
        train={"max_steps": 900, "val_every": 300},
        machine={"checkpoint_every": 10},
        search={
            "network": "plain8",
            "seed": 1,
            "trials": 1,
            "space": {"optimizer.lr": {"choice": [0.1]}},
            "asha": None,
        },
        sweep={"address": cluster.address, "max_failures": 1},
    )
    repository.commit("a search of one trial")
    hide = f'mount -t tmpfs none {repository.root} && exec "$@"'
    cluster.add_node("unshare", "--mount", "--map-root-user", "sh", "-c", hide, "sh")
    searches = repository.root / ".resgrid/searches"
    with ThreadPoolExecutor() as pool:
        search = pool.submit(
            lambda: repository.run(
                "python",
                "-m",
                "resgrid",
                "search",
                check=True,
                **ENVIRONMENT,
                MLFLOW_TRACKING_URI=tracking_server,
            )
        )
        seals = "*/trials/trial-000/checkpoints/*/*.seal.json"
        wait_until(lambda: search.done() or any(searches.glob(seals)), "a checkpoint")
        assert not search.done(), search.result().stderr
        (token,) = (path.read_text() for path in searches.glob("*/token"))
        cell = str(cluster.folder / f"tmp/resgrid-{os.getuid()}" / token / "cells/trial-000")
        (process,) = [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == cell]
        process.send_signal(signal.SIGKILL)
        done = search.result()
    assert "trial-000: was killed by signal 9" in done.stderr
    assert "dvc exp run -S optimizer.lr=0.1" in done.stdout
    (log,) = searches.glob("*/logs/trial-000.log")
    assert "resumes from step-" in log.read_text()
    assert not Path(cell).parents[1].exists()
    client = MlflowClient(tracking_server)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (trial,) = (run for run in client.search_runs(experiments) if "search.trial" in run.data.tags)
    assert (trial.info.status, trial.data.tags["search.end"]) == ("FINISHED", "done")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_open(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, int(port))) == 0


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=1).ok
    except requests.RequestException:
        time.sleep(0.2)
        return False
