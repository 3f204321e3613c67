"""A program that runs a cell's commands for a Ray worker, and leaves none of them behind. Standard library only.

Orders come as lines of JSON on standard input, answers go as lines of JSON to standard output:

    {"run": ["python -m pipeline.train …"], "cwd": …, "env": {…}, "log": …}    →    {"exit": 0}
    {"stop": true}    SIGTERM to the command's process group (it saves a checkpoint and ends)
    {"kill": true}    SIGKILL to it

When the input ends, since the worker is gone, however that happened, the command is told to end, and killed if it
doesn't. The supervisor detaches itself from the worker, whose exit would kill its direct children at once.

Commands of the form `python -m <module> …` run in a fork of the supervisor, which has imported the packages named in
its arguments and no code of the project. That saves a short cell its start (10 of 11 seconds). Other programs start as
they are; what needs a shell goes through a shell.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import select
import shlex
import signal
import sys
import time
from typing import Any, NoReturn

GRACE_SECONDS = 60.0
SHELL_CHARACTERS = set("|&;<>()$`\\\"'*?[]#~=%\n")


class Supervisor:
    """Takes orders and has at most one command running.

    Args:
        warm: packages to import before the first fork.
    """

    def __init__(self, warm: list[str]) -> None:
        self._warm = warm
        self._input = b""
        self._cell: dict[str, Any] = {}
        self._waiting: list[str] = []
        self._running = 0  # the process id of the command, which leads its own group
        self._exited: int | None = None  # its status, if it has ended but not all that it started
        self._told_to_stop = False
        self._grace_ends = 0.0

    def serve(self) -> list[str]:
        """Run what is ordered until the input ends.

        Returns:
            In a fork, the `python -m <module> …` that it is to become; nothing in the supervisor itself.
        """
        while self._take_orders():
            if self._running and (status := self._status()) is not None:
                self._end_of_command(status)
            if self._waiting and not self._running:
                words = self._start(self._waiting.pop(0))
                if words:
                    return words
        if self._running:
            _end(self._running)
        return []

    def _take_orders(self) -> bool:
        """Wait a little for orders and note them. False when the input has ended."""
        ready, _, _ = select.select([0], [], [], 0.05 if self._running else 60.0)
        if not ready:
            return True
        chunk = os.read(0, 65536)
        *lines, self._input = (self._input + chunk).split(b"\n")
        for order in map(json.loads, lines):
            if "run" in order:
                self._cell, self._waiting, self._told_to_stop = order, list(order["run"]), False
            elif self._running:
                self._told_to_stop, self._grace_ends = True, time.monotonic() + GRACE_SECONDS
                _signal(self._running, signal.SIGKILL if "kill" in order else signal.SIGTERM)
        return bool(chunk)

    def _status(self) -> int | None:
        """The exit status of the running command, negative for a signal; None while it runs."""
        if self._exited is None:
            pid, status = os.waitpid(self._running, os.WNOHANG)
            self._exited = os.waitstatus_to_exitcode(status) if pid else None
        # A shell that is told to stop ends at once, but not the program in it that saves a checkpoint.
        if self._told_to_stop and _is_alive(self._running) and time.monotonic() < self._grace_ends:
            return None
        return self._exited

    def _end_of_command(self, status: int) -> None:
        _signal(self._running, signal.SIGKILL)  # what the command left running
        self._running, self._exited = 0, None
        if status or self._told_to_stop:
            self._waiting = []
        if not self._waiting:
            _answer({"exit": status})

    def _start(self, command: str) -> list[str]:
        words = _words(command)
        is_module = words[:2] == ["python", "-m"] and len(words) > 2
        if is_module:
            # Only now: a supervisor that never runs such a command needs none of the packages.
            _import(self._warm)
            self._warm = []
        self._running = os.fork()
        if self._running:
            return []
        _enter(self._cell)
        if not is_module:
            _become(command, words)
        return words


def _words(command: str) -> list[str]:
    """The words of a command that means the same without a shell; none for any other one."""
    return [] if SHELL_CHARACTERS & set(command) else shlex.split(command)


def _become(command: str, words: list[str]) -> NoReturn:
    with contextlib.suppress(FileNotFoundError, IndexError):  # no program: what a shell has built in, such as `exit 1`
        os.execvp(words[0], words)
    shell = os.environ.get("SHELL") or "/bin/sh"
    os.execv(shell, [shell, "-c", command])


def _import(packages: list[str]) -> None:
    """Import the packages that are there; a cell that needs a missing one fails by itself, and says so."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError:
            continue


def _enter(cell: dict[str, Any]) -> None:
    """Make this fork the cell's process: its own group, folder, environment and log."""
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
    sys.path[:] = [os.getcwd(), *theirs, *(path for path in sys.path if os.path.abspath(path or ".") != own)]
    sys.argv = [module, *arguments]
    importlib.invalidate_caches()
    # Python runs this file by itself when it starts; this process has started long ago.
    for path in theirs:
        if os.path.exists(customize := os.path.join(path, "sitecustomize.py")):
            runpy.run_path(customize)
            break
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _end(group: int) -> None:
    """SIGTERM, then SIGKILL after the grace in which a checkpoint is written."""
    _signal(group, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and _is_alive(group):
        with contextlib.suppress(ChildProcessError):  # its leader has been waited for before
            os.waitpid(group, os.WNOHANG)
        time.sleep(0.05)
    _signal(group, signal.SIGKILL)


def _is_alive(group: int) -> bool:
    """Whether anything is left of a process group."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _answer(message: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the worker is gone; the end of the input follows
        os.write(1, (json.dumps(message) + "\n").encode())


if __name__ == "__main__":
    if os.fork():
        os._exit(0)  # detached: no longer a child of the worker
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    words_of_the_cell = Supervisor(warm=sys.argv[1:]).serve()
    if words_of_the_cell:
        _run_module(words_of_the_cell)
