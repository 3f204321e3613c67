"""Runs a cell's commands for a Ray worker and leaves no process behind. Standard library only.

Orders arrive as lines of JSON on standard input; answers are lines of JSON on standard output:

    {"run": ["python -m pipeline.train …"], "cwd": …, "env": {…}, "log": …}    →    {"exit": 0}
    {"terminate": true}    SIGTERM to the command's process group, which saves a checkpoint and exits
    {"kill": true}         SIGKILL to the group

When the input ends because the worker is gone, the supervisor terminates the command and, after a minute, kills it.
The supervisor detaches itself from the worker, whose exit would kill its direct children at once.

Commands of the form `python -m <module> …` run in a fork of the supervisor, which has imported the packages named in
its arguments but no code of the project. Imports take 10 of the 11 seconds that a short cell needs to start. Other
programs start as usual; a command that needs a shell runs in a shell.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import shlex
import signal
import sys
import time
from typing import Any

GRACE_SECONDS = 60.0
SHELL_CHARACTERS = set("|&;<>()$`\\\"'*?[]#~=%\n")

# In a fork, the exit status of its module, unless that raised an exception.
_exit_status: list[int] = []


class Supervisor:
    """Takes orders and runs at most one command at a time.

    Args:
        warm: packages to import before the first fork.
    """

    def __init__(self, warm: list[str]) -> None:
        self._warm = warm
        self._input = b""
        self._cell: dict[str, Any] = {}
        self._waiting: list[str] = []
        self._running = 0  # process ID of the command, which leads its own group
        self._exited: int | None = None  # exit status of a command whose group still has processes
        self._terminated = False
        self._grace_ends = 0.0

    def serve(self) -> list[str]:
        """Run the ordered commands until the input ends.

        Returns:
            In a fork, the `python -m <module> …` that the fork must run; in the supervisor, nothing.
        """
        while self._take_orders():
            if self._running and (status := self._status()) is not None:
                self._finish_command(status)
            if self._waiting and not self._running:
                words = self._start(self._waiting.pop(0))
                if words:
                    return words
        if self._running:
            _end(self._running)
        return []

    def _take_orders(self) -> bool:
        """Wait briefly for orders. Returns False when the input has ended."""
        ready, _, _ = select.select([0], [], [], 0.05 if self._running else 60.0)
        if not ready:
            return True
        chunk = os.read(0, 65536)
        *lines, self._input = (self._input + chunk).split(b"\n")
        for order in map(json.loads, lines):
            if "run" in order:
                self._cell, self._waiting, self._terminated = order, list(order["run"]), False
            elif self._running:
                self._terminated, self._grace_ends = True, time.monotonic() + GRACE_SECONDS
                _signal(self._running, signal.SIGKILL if "kill" in order else signal.SIGTERM)
        return bool(chunk)

    def _status(self) -> int | None:
        """The exit status of the running command, negative for a signal; None while the command runs."""
        if self._exited is None:
            pid, status = os.waitpid(self._running, os.WNOHANG)
            self._exited = os.waitstatus_to_exitcode(status) if pid else None
        # A terminated shell exits at once, but its program may still save a checkpoint.
        if self._terminated and _is_alive(self._running) and time.monotonic() < self._grace_ends:
            return None
        return self._exited

    def _finish_command(self, status: int) -> None:
        _signal(self._running, signal.SIGKILL)  # processes that the command left running
        self._running, self._exited = 0, None
        if status or self._terminated:
            self._waiting = []
        if not self._waiting:
            with contextlib.suppress(BrokenPipeError):  # the worker is gone; the input will end too
                os.write(1, (json.dumps({"exit": status}) + "\n").encode())

    def _start(self, command: str) -> list[str]:
        words = [] if SHELL_CHARACTERS & set(command) else shlex.split(command)
        is_module = words[:2] == ["python", "-m"] and len(words) > 2
        if is_module:
            # Imported late: a supervisor of other commands doesn't need the packages.
            while self._warm:
                with contextlib.suppress(ImportError):  # a cell that needs a missing package reports it by itself
                    importlib.import_module(self._warm.pop(0))
            gc.freeze()  # collections in forks then leave the packages' memory alone, which they share
        self._running = os.fork()
        if self._running:
            return []
        _enter(self._cell)
        if not is_module:
            # Without a shell if possible: at SIGTERM, a shell exits before its program and hides the exit status.
            with contextlib.suppress(FileNotFoundError, IndexError):  # built into shells, such as `exit 1`
                os.execvp(words[0], words)
            shell = os.environ.get("SHELL") or "/bin/sh"
            os.execv(shell, [shell, "-c", command])
        return words


def _enter(cell: dict[str, Any]) -> None:
    """Turn this fork into the cell's process, with its own group, folder, environment and log."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir(cell["cwd"])
    os.environ.clear()
    os.environ.update(cell["env"])
    log = os.open(cell["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)


def _run_module(words: list[str]) -> None:
    """Do what `python -m <module> …` does after its start, with the environment's PYTHONPATH."""
    module, arguments = words[2], words[3:]
    own = os.path.dirname(os.path.abspath(__file__))
    theirs = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    others = (path for path in sys.path if os.path.abspath(path or ".") != own)
    sys.path[:] = [os.getcwd(), *theirs, *others]
    sys.argv = [module, *arguments]
    importlib.invalidate_caches()
    # Python runs this file when it starts, but this process started long ago.
    for path in theirs:
        if os.path.exists(customize := os.path.join(path, "sitecustomize.py")):
            runpy.run_path(customize)
            break
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        _exit_status.append(0)
    except SystemExit as request:
        _exit_status.append(request.code if isinstance(request.code, int) else int(request.code is not None))
        raise


def _exit_at_once() -> None:
    """Exit without Python's own end, which takes three seconds with these packages; no thread or handler is left."""
    if _exit_status:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_exit_status[0])


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _end(group: int) -> None:
    """Send SIGTERM, and SIGKILL after the grace period, in which a checkpoint is written."""
    _signal(group, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and _is_alive(group):
        with contextlib.suppress(ChildProcessError):  # the leader was waited for before
            os.waitpid(group, os.WNOHANG)
        time.sleep(0.05)
    _signal(group, signal.SIGKILL)


def _is_alive(group: int) -> bool:
    """Tell whether a process group still has processes."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    atexit.register(_exit_at_once)  # handlers run in reverse order, so this one is the last
    if os.fork():
        os._exit(0)  # the child is detached from the worker
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    words_of_the_cell = Supervisor(warm=sys.argv[1:]).serve()
    if words_of_the_cell:
        _run_module(words_of_the_cell)
