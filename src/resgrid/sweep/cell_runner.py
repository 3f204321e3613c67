"""Runs a cell on a node: a clean folder with the declared dependencies, the commands, the outputs sent back.

This module travels to nodes by value, so that a node needs the packages but not this repository. It imports the
standard library and ray alone and exchanges plain values with the driver.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ray

POLL_SECONDS = 0.1
REPORT_SECONDS = 1.0
SYNC_SECONDS = 5.0
CHUNK = 8 * 1024 * 1024

# The supervisor of this worker process; it serves one cell after another.
_supervisors: list[subprocess.Popen[bytes]] = []


class CellFailedError(RuntimeError):
    """A cell's command failed or wrote the wrong outputs; the message contains the reason and the log's path."""


def run_cell(job: dict[str, Any], file_server: Any, report: Callable[[dict[str, Any]], None]) -> None:
    """Run the stages of a cell one after the other.

    Args:
        job: `cell`; `stages`, made by `jobs.stage_job`; `state`, the folder of its checkpoints and records on the
            driver's side; `saved_as`, how their names start; and `settings`, made by `jobs.settings_of_all`.
        file_server: the actor next to the driver.
        report: called with progress, with each stage that is delivered, and at the end with
            `{"ended": "done" | "terminated"}`.

    Raises:
        CellFailedError: a stage failed. Its checkpoints remain for the next attempt.
    """
    node = _Node(job, file_server)
    node.fetch_state()
    for stage in job["stages"]:
        if ray.get(file_server.is_delivered.remote(stage["stage"])):
            # By an earlier attempt, whose worker may have died before its report arrived.
            report({"delivered": stage["stage"], "seconds": 0.0})
            continue
        if ray.get(file_server.request.remote()) != "run":
            report({"ended": "terminated", "stage": stage["stage"]})
            return
        start = time.monotonic()
        report({"stage": stage["stage"], "node": os.uname().nodename})
        folder = node.lay_out(stage)
        status, terminated = _execute(stage, node, folder, report)
        node.send_state()
        node.send_log(stage["stage"])
        if terminated and (status or not all((folder / path).exists() for path in stage["outs"])):
            report({"ended": "terminated", "stage": stage["stage"]})
            return
        if status:
            raise CellFailedError(f"{stage['stage']}: {_reason(status)}; read {node.shown_log(stage['stage'])}")
        node.check(stage, folder)
        node.deliver(stage, folder)
        report({"delivered": stage["stage"], "seconds": round(time.monotonic() - start, 2)})
    report({"ended": "done"})


class _Node:
    """A cell's files on this node: in the driver's work directory if the node can read it, else in a temporary one."""

    def __init__(self, job: dict[str, Any], file_server: Any) -> None:
        self.settings, self.cell, self.file_server = job["settings"], job["cell"], file_server
        self._home_state, self._saved_as = Path(job["state"]), job["saved_as"]
        self._home = Path(self.settings["work"])
        self._is_shared = _read_or_empty(self._home / "token") == self.settings["token"]
        self.work, self._state = self._home, self._home_state
        host, driver = os.uname().nodename, self.settings["host"]
        has_server = self.settings["environment"].get("MLFLOW_TRACKING_URI", "").startswith("http")
        if not has_server and not (self._is_shared and host == driver):
            # SQLite's locks don't work on network file systems (https://www.sqlite.org/faq.html#q5).
            problem = (
                f"must not write the SQLite store of {driver}"
                if self._is_shared
                else (f"can't read {self.settings['root']}, so it can't track runs there")
            )
            raise CellFailedError(
                f"node {host}: {problem}; start an MLflow server that all nodes reach and set MLFLOW_TRACKING_URI to "
                "its URL"
            )
        if not self._is_shared:
            os.umask(0o077)
            self.work = _own_folder(self.settings["token"])
            _make_private(self.work.parent)
            self.work.mkdir(exist_ok=True)
            self._state = self.work / "state" / self.cell
            with _locked(self.work / "code.lock"):
                if not (self.work / "code").exists():
                    partial = self.work / "code.partial"
                    write_files(partial, self.settings["code"])
                    partial.replace(self.work / "code")
        self.progress = self.work / "progress" / f"{self.cell}.json"
        self._sent: dict[str, tuple[int, int]] = {}
        self._linked: dict[str, tuple[int, int]] = {}
        self._made: dict[str, str] = {}

    def lay_out(self, stage: dict[str, Any]) -> Path:
        """Make a fresh folder that contains the stage's dependencies and parameters, and nothing else."""
        folder = self.work / "cells" / stage["stage"]
        shutil.rmtree(folder, ignore_errors=True)
        write_files(folder, stage["contents"])
        self._linked, self._made = {}, {}
        for path in [*stage["cached"], *stage["made_by_train"], *stage["outs"]]:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
        for path, (source, md5) in stage["cached"].items():
            local = self._local(source, md5)
            (folder / path).symlink_to(local)
            self._linked[str(local)] = _stamp(local)
        for path in stage["made_by_train"]:
            made = self._home / "delivered" / f"train@{self.cell}" / path
            if self._is_shared:
                shutil.copyfile(made, folder / path)
            else:
                self._fetch(str(made), folder / path)
            self._made[path] = _md5(folder / path)
        return folder

    def check(self, stage: dict[str, Any], folder: Path) -> None:
        """Check that the stage has written all of its outputs, nothing else, and didn't change its dependencies."""
        name = stage["stage"]
        if missing := [path for path in stage["outs"] if not (folder / path).exists()]:
            raise CellFailedError(f"{name}: {', '.join(missing)}: not written; read {self.shown_log(name)}")
        expected = {*stage["contents"], *stage["cached"], *stage["made_by_train"]}
        outs = [folder / path for path in stage["outs"]]
        written = [path for path in folder.rglob("*") if not any(path.is_relative_to(out) for out in outs)]
        names = [path.relative_to(folder).as_posix() for path in written if path.is_symlink() or not path.is_dir()]
        if extra := [path for path in names if path not in expected]:
            raise CellFailedError(
                f"{name}: {', '.join(extra[:3])}: written, but not declared; add it to outs in dvc.yaml"
            )
        for source, before in self._linked.items():
            if _stamp(Path(source)) != before:
                raise CellFailedError(f"{name}: {source}: changed by the stage; delete it and rerun the sweep")

    def deliver(self, stage: dict[str, Any], folder: Path) -> None:
        """Bring the outputs to the driver's side; they count once all of them are there."""
        delivered = self._home / "delivered" / stage["stage"]
        ray.get(self.file_server.begin_delivery.remote(stage["stage"]))
        for path in stage["outs"]:
            source = folder / path
            if self._is_shared:
                (delivered / path).parent.mkdir(parents=True, exist_ok=True)
                source.replace(delivered / path)
            else:
                for file in [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file()):
                    self._send(file, delivered / file.relative_to(folder))
        inputs = stage["inputs"] | {"files": stage["inputs"]["files"] | self._made}
        ray.get(self.file_server.end_delivery.remote(stage["stage"], json.dumps(inputs)))
        shutil.rmtree(folder, ignore_errors=True)

    def environment(self, stage: dict[str, Any], folder: Path) -> dict[str, str]:
        code = self.work / "code"
        readable = [folder, code, self._state, self.progress.parent, sys.prefix, *self.settings["readable"]]
        own = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "PYTHONPATH": os.pathsep.join(str(path) for path in (code / "undeclared_reads", code / "src", code)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DVC_ROOT": str(folder),
            "DVC_STAGE": stage["stage"],
            "RESGRID_STATE": str(self._state),
            "RESGRID_PROGRESS": str(self.progress),
            "RESGRID_REPOSITORY": self.settings["root"],
            "RESGRID_READABLE": os.pathsep.join(str(path) for path in readable),
        }
        return _kept_environment() | self.settings["environment"] | own

    def log(self, stage: str) -> Path:
        return self.work / "logs" / f"{stage}.log"

    def shown_log(self, stage: str) -> str:
        """The log's path on the driver's side."""
        return str(self._home / "logs" / f"{stage}.log")

    def send_log(self, stage: str) -> None:
        if not self._is_shared and self.log(stage).exists():
            self._send(self.log(stage), Path(self.shown_log(stage)))

    def fetch_state(self) -> None:
        """Fetch checkpoints and records of earlier attempts, which may have run on another node."""
        if self._is_shared:
            return
        for path in ray.get(self.file_server.state_of.remote(str(self._home_state), self._saved_as)):
            self._fetch(str(self._home_state / path), self._state / path)
            self._sent[path] = _stamp(self._state / path)

    def send_state(self) -> None:
        """Send new checkpoints and records in the order of writing: a checksum file follows its checkpoint."""
        if self._is_shared:
            return
        state = self._state
        now: dict[str, tuple[int, int]] = {}
        for file in [*state.glob(f"checkpoints/{self._saved_as}-*/*"), *state.glob(f"records/{self._saved_as}-*")]:
            with contextlib.suppress(FileNotFoundError):  # an old checkpoint that was deleted just now
                now[file.relative_to(state).as_posix()] = _stamp(file)
        for path in sorted(now, key=lambda path: now[path][1]):
            if self._sent.get(path) != now[path] and not path.endswith((".tmp", ".partial")):
                with contextlib.suppress(FileNotFoundError):
                    self._send(state / path, self._home_state / path)
                    self._sent[path] = now[path]
        for path in [path for path in self._sent if path not in now]:
            ray.get(self.file_server.remove.remote(str(self._home_state / path)))
            del self._sent[path]

    def _local(self, source: str, md5: str) -> Path:
        """The path of an object of DVC's cache on this node, which fetches the object once if need be."""
        if self._is_shared:
            return Path(source)
        local = self.work / "objects" / md5
        local.parent.mkdir(parents=True, exist_ok=True)
        with _locked(local.with_suffix(".lock")):
            if not local.exists():
                partial = local.with_suffix(".partial")
                self._fetch(source, partial)
                if (found := _md5(partial)) != md5:
                    raise CellFailedError(f"{source}: {found}: the MD5 must be {md5}; rerun the sweep")
                partial.chmod(0o444)
                partial.replace(local)
        return local

    def _fetch(self, source: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            while chunk := bytes(ray.get(self.file_server.read.remote(source, file.tell()))):
                file.write(chunk)
                if len(chunk) < CHUNK:
                    break

    def _send(self, file: Path, target: Path) -> None:
        with file.open("rb") as content:
            size = os.fstat(content.fileno()).st_size
            while True:
                offset = content.tell()
                chunk = content.read(CHUNK)
                last = content.tell() >= size
                ray.get(self.file_server.write.remote(str(target), offset, chunk, last))
                if last:
                    return


def _execute(
    stage: dict[str, Any], node: _Node, folder: Path, report: Callable[[dict[str, Any]], None]
) -> tuple[int, bool]:
    """Run the commands through the supervisor. Returns the exit status, and whether the user terminated them."""
    supervisor = _start_supervisor(node)
    assert supervisor.stdout is not None
    log = node.log(stage["stage"])
    for path in (log, node.progress):
        path.parent.mkdir(parents=True, exist_ok=True)
    node.progress.unlink(missing_ok=True)
    environment = node.environment(stage, folder)
    _order(supervisor, {"run": stage["commands"], "cwd": str(folder), "env": environment, "log": str(log)})
    passed_on, reported, synced = "run", 0.0, time.monotonic()
    shown = ""
    try:
        while True:
            ready, _, _ = select.select([supervisor.stdout], [], [], POLL_SECONDS)
            if ready:
                answer = supervisor.stdout.readline()
                if not answer:
                    raise CellFailedError(f"{stage['stage']}: its supervisor died; read {log}")
                return json.loads(answer)["exit"], passed_on != "run"
            now = time.monotonic()
            if now - reported >= REPORT_SECONDS:
                reported = now
                request: str = ray.get(node.file_server.request.remote())
                if request != passed_on:
                    passed_on = request
                    _order(supervisor, {request: True})
                progress = _read_or_empty(node.progress)
                if progress and progress != shown:
                    shown = progress
                    report(json.loads(progress))
            if now - synced >= SYNC_SECONDS:
                node.send_state()
                synced = time.monotonic()
    except BaseException:
        # Nothing waits for the command any more: a supervisor terminates it when its input closes.
        _dismiss_supervisor()
        raise


def clear(token: str) -> None:
    """Delete the files that a sweep has sent to this node."""
    shutil.rmtree(_own_folder(token), ignore_errors=True)


def write_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files by their paths below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _own_folder(token: str) -> Path:
    """The work directory of a node that can't read the driver's."""
    return Path(tempfile.gettempdir()) / f"resgrid-{os.getuid()}" / token


def _make_private(folder: Path) -> None:
    """Make a folder that other users of the node can't read or replace, or refuse theirs."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise CellFailedError(f"{folder}: not a private folder of this user; delete it or set TMPDIR for Ray")


def _reason(status: int) -> str:
    """Describe an exit status; a shell adds 128 to the signal that killed its command."""
    number = -status if status < 0 else status - 128
    return f"was killed by signal {number}" if number in signal.valid_signals() else f"exit status {status}"


def _start_supervisor(node: _Node) -> subprocess.Popen[bytes]:
    if not _supervisors:
        _supervisors.append(
            subprocess.Popen(
                [sys.executable, str(node.work / "code/supervisor.py"), *node.settings["warm"]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_kept_environment() | node.settings["environment"],
                cwd=node.work,
                start_new_session=True,
            )
        )
    return _supervisors[0]


def _kept_environment() -> dict[str, str]:
    """The part of this worker's environment that cells inherit.

    Ray's variables don't belong to a cell, nor do those of a Slurm job around Ray: Lightning would take a cell with
    several devices for a part of the job. OMP_NUM_THREADS is Ray's; params.yaml contains the number of threads.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "SLURM_"))}
    kept.pop("OMP_NUM_THREADS", None)
    return kept


def _dismiss_supervisor() -> None:
    while _supervisors:
        supervisor = _supervisors.pop()
        for pipe in (supervisor.stdin, supervisor.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _order(supervisor: subprocess.Popen[bytes], order: dict[str, Any]) -> None:
    assert supervisor.stdin is not None
    supervisor.stdin.write((json.dumps(order) + "\n").encode())
    supervisor.stdin.flush()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read_or_empty(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns
