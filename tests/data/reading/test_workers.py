"""Decoding workers end when their main process ends, in any way, and not before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# A main process with one worker; it exits or is killed while the worker waits.
PROGRAM = """
import multiprocessing, os, signal, sys, time
from resgrid.data.reading.workers import lifeline, start_worker, worker_context

def work(line, ready):
    start_worker(line)
    ready.send(os.getpid())
    time.sleep(600)

def lines(context):
    with lifeline(context) as line:
        yield line

if __name__ == "__main__":
    context = worker_context("resgrid.data.reading.workers")
    suspended = lines(context)
    reader, writer = context.Pipe(duplex=False)
    worker = context.Process(target=work, args=(next(suspended), writer), daemon=True)
    worker.start()
    pid = reader.recv()
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGINT)
    worker.join(0.3)
    print(pid, worker.is_alive(), flush=True)
    if sys.argv[1] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.exit(3)
"""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(("end", "status"), [("exit", 3), ("kill", -signal.SIGKILL)])
def test_workers_outlive_signals_but_not_their_main_process(tmp_path: Path, end: str, status: int) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    done = subprocess.run([sys.executable, script, end], stdout=subprocess.PIPE, text=True, timeout=120, check=False)
    assert done.returncode == status
    pid, was_alive = done.stdout.split()
    assert was_alive == "True"
    deadline = time.monotonic() + 30
    while is_running(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(int(pid))
