"""`resgrid dashboard` on other addresses than the loopback one: who is let in."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.error import HTTPError, URLError

import psutil
import pytest

from commands.conftest import Resgrid


def status(port: int, host: str, path: str, body: bytes | None = None) -> int:
    """The status of a request as a browser sends it that was pointed to `host`."""
    headers = {"Host": f"{host}:{port}", "Origin": f"http://{host}:{port}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status
    except HTTPError as refusal:
        return refusal.code


def test_a_host_that_is_not_this_machine(resgrid: Resgrid, tree: Path) -> None:
    done = resgrid(tree, "dashboard", "--host", "203.0.113.1")
    assert done.stderr == "error: host: '203.0.113.1': not an address of this machine; use 127.0.0.1 or 0.0.0.0\n"


@pytest.mark.slow
def test_names_of_this_machine_are_let_in_and_no_others(tree: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "resgrid", "dashboard", "--host", "0.0.0.0", "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "RESGRID_TRACKING": "mlruns"}
    server = subprocess.Popen(command, cwd=tree, env=environment, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                status(port, "localhost", "/health")
                break
            except URLError:
                assert time.monotonic() < deadline, "the server doesn't start"
                time.sleep(0.2)
        search = "/ajax-api/2.0/mlflow/experiments/search", b'{"max_results": 1}'
        for host in ("localhost", socket.gethostname()):
            assert (status(port, host, "/"), status(port, host, *search)) == (200, 200)
        for host in ("example.org", "10.example.org"):
            assert (status(port, host, "/"), status(port, host, *search)) == (403, 403)
    finally:
        processes = [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]
        for process in processes:
            process.terminate()
        psutil.wait_procs(processes, timeout=30)
        server.wait()
