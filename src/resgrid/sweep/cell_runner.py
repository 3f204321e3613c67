"""What runs on a node for one cell: a clean folder with the declared dependencies, the commands, the outs sent back.

This file travels to the nodes by value, so that a node needs the packages but not this repository: it imports the
standard library and ray alone, and what passes between it and the driver are plain values.
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
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray

POLL_SECONDS = 0.1
REPORT_SECONDS = 1.0
SYNC_SECONDS = 5.0
CHUNK = 8 * 1024 * 1024

# The supervisor of this worker process; it serves one cell after another.
_keeper: list[subprocess.Popen[bytes]] = []


class CellFailedError(RuntimeError):
    """A cell's command failed or wrote the wrong outs; the message says which, and where its log is."""


def run_cell(job: dict[str, Any], file_server: Any, report: Callable[[dict[str, Any]], None]) -> None:
    """Run the stages of a cell one after the other.

    Args:
        job: `cell`; `stages`, snapshots as dictionaries; `state`, the folder of its checkpoints and records beside the
            driver, and `saved_as`, what their names begin with; and `sweep`, what is common to all cells.
        file_server: the actor beside the driver.
        report: told of progress, of each stage that is delivered, and of the end: `{"ended": "done" | "stopped"}`.

    Raises:
        CellFailedError: see there. Checkpoints are left for the next attempt.
    """
    place = _Place(job, file_server)
    place.fetch_state()
    for stage in job["stages"]:
        if ray.get(file_server.is_delivered.remote(stage["stage"])):
            continue
        if ray.get(file_server.wish.remote()) != "go":
            report({"ended": "stopped", "stage": stage["stage"]})
            return
        began = time.monotonic()
        report({"stage": stage["stage"], "node": os.uname().nodename})
        folder = place.lay_out(stage)
        code, stopped = _execute(stage, place, folder, report)
        place.send_state()
        place.send_log(stage["stage"])
        if stopped:
            report({"ended": "stopped", "stage": stage["stage"]})
            return
        if code:
            raise CellFailedError(f"{stage['stage']} {_end(code)}; its log: {place.shown_log(stage['stage'])}")
        place.check(stage, folder)
        place.deliver(stage, folder)
        report({"delivered": stage["stage"], "seconds": round(time.monotonic() - began, 2)})
    report({"ended": "done"})


class _Place:
    """Where a cell runs on this node: in the sweep's own folder if the node sees it, else in a temporary one."""

    def __init__(self, job: dict[str, Any], file_server: Any) -> None:
        self.sweep, self.cell, self.file_server = job["sweep"], job["cell"], file_server
        self.home_state, self._saved_as = Path(job["state"]), job["saved_as"]
        self.home = Path(self.sweep["area"])
        self.shared = _read_or_empty(self.home / "token") == self.sweep["token"]
        if self.shared:
            self.area, self.state = self.home, self.home_state
        else:
            self.area = _own_area(self.sweep["token"])
            self.state = self.area / "state" / self.cell
            if not self.sweep["environment"].get("MLFLOW_TRACKING_URI", "").startswith("http"):
                raise CellFailedError(
                    f"the node {os.uname().nodename} doesn't see {self.sweep['root']}, so its runs can't be tracked in "
                    "the files there: start an MLflow server that all nodes reach, and set MLFLOW_TRACKING_URI to it"
                )
        self._sent: dict[str, tuple[int, int]] = {}
        self._linked: dict[str, tuple[int, int]] = {}
        self._expected: set[str] = set()
        for name, source in (("supervisor.py", "supervisor"), ("guard/sitecustomize.py", "guard")):
            _write_once(self.area / name, self.sweep[source])

    def lay_out(self, stage: dict[str, Any]) -> Path:
        """A fresh folder that holds the stage's dependencies and its declared parameters, and nothing else."""
        folder = self.area / "cells" / stage["stage"]
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._linked, self._expected = {}, set(stage["params"])
        for item in stage["files"]:
            target = self._target(folder, item["path"])
            source = self._local(item["source"], item["md5"])
            if item["is_data"] or not self.shared:
                target.symlink_to(source)
                status = source.stat()
                self._linked[str(source)] = (status.st_size, status.st_mtime_ns)
            else:
                shutil.copyfile(source, target)
        for path in stage["made_by_train"]:
            target = self._target(folder, path)
            made = self.home / "made" / self.cell / path
            if self.shared:
                shutil.copyfile(made, target)
            else:
                self._fetch(str(made), target)
        for path, text in stage["params"].items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        for path in stage["outs"]:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
        return folder

    def check(self, stage: dict[str, Any], folder: Path) -> None:
        """The stage has written all of its outs, nothing else, and left its dependencies alone."""
        log = self.shown_log(stage["stage"])
        if missing := [path for path in stage["outs"] if not (folder / path).exists()]:
            raise CellFailedError(f"{stage['stage']} didn't write {', '.join(missing)}; its log: {log}")
        outs = [folder / path for path in stage["outs"]]
        written = [path for path in folder.rglob("*") if not path.is_dir() and not _is_below_any(path, outs)]
        if extra := [name for path in written if (name := path.relative_to(folder).as_posix()) not in self._expected]:
            raise CellFailedError(
                f"{stage['stage']} wrote {', '.join(extra[:3])}, which dvc.yaml doesn't declare as an out; "
                f"its log: {log}"
            )
        for source, before in self._linked.items():
            status = Path(source).stat()
            if (status.st_size, status.st_mtime_ns) != before:
                raise CellFailedError(
                    f"{stage['stage']} wrote into its dependency {source}; run `dvc fsck` or fetch it again"
                )

    def deliver(self, stage: dict[str, Any], folder: Path) -> None:
        """Bring the outs to the driver's side, all of them or none that counts."""
        delivered = self.home / "delivered" / stage["stage"]
        if self.shared:
            shutil.rmtree(delivered, ignore_errors=True)
        for path in stage["outs"]:
            source = folder / path
            if self.shared:
                (delivered / path).parent.mkdir(parents=True, exist_ok=True)
                source.replace(delivered / path)
            else:
                for file in [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file()):
                    self._send(file, delivered / file.relative_to(folder))
        kept = stage["kept_for_evaluate"]
        ray.get(self.file_server.deliver.remote(stage["stage"], self.cell, kept))
        shutil.rmtree(folder, ignore_errors=True)

    def environment(self, stage: dict[str, Any], folder: Path) -> dict[str, str]:
        guard = self.area / "guard"
        allowed = [folder, guard, self.state, sys.prefix, *self.sweep["readable"]]
        own = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "PYTHONPATH": os.pathsep.join([str(guard), str(folder / "src")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DVC_ROOT": str(folder),
            "DVC_STAGE": stage["stage"],
            "RESGRID_STATE": str(self.state),
            "RESGRID_PROGRESS": str(self.progress),
            "RESGRID_GUARD_ROOT": self.sweep["root"],
            "RESGRID_GUARD_ALLOWED": os.pathsep.join(str(path) for path in allowed),
        }
        return _kept_environment() | self.sweep["environment"] | own

    @property
    def progress(self) -> Path:
        return self.area / "progress" / f"{self.cell}.json"

    def log(self, stage: str) -> Path:
        return self.area / "logs" / f"{stage}.log"

    def shown_log(self, stage: str) -> str:
        """The log's place on the driver's side."""
        return str(self.home / "logs" / f"{stage}.log")

    def send_log(self, stage: str) -> None:
        if not self.shared and self.log(stage).exists():
            self._send(self.log(stage), Path(self.shown_log(stage)))

    def fetch_state(self) -> None:
        """Checkpoints and records of earlier attempts, which may have been on another node."""
        if self.shared:
            return
        for path in ray.get(self.file_server.state_of.remote(str(self.home_state), self._saved_as)):
            self._fetch(str(self.home_state / path), self.state / path)
            self._sent[path] = _stamp(self.state / path)

    def send_state(self) -> None:
        """New checkpoints and records, in the order in which they were written: a seal after what it seals."""
        if self.shared:
            return
        files = [*self.state.glob(f"checkpoints/{self._saved_as}-*/*"), *self.state.glob(f"records/{self._saved_as}-*")]
        now: dict[str, tuple[int, int]] = {}
        for file in files:
            with contextlib.suppress(FileNotFoundError):  # an old checkpoint, dropped just now
                now[file.relative_to(self.state).as_posix()] = _stamp(file)
        for path in sorted(now, key=lambda path: now[path][1]):
            if self._sent.get(path) != now[path] and not path.endswith((".tmp", ".partial")):
                with contextlib.suppress(FileNotFoundError):
                    self._send(self.state / path, self.home_state / path)
                    self._sent[path] = now[path]
        for path in [path for path in self._sent if path not in now]:
            ray.get(self.file_server.remove.remote(str(self.home_state / path)))
            del self._sent[path]

    def _target(self, folder: Path, path: str) -> Path:
        self._expected.add(path)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _local(self, source: str, md5: str) -> Path:
        """A file with this content on this node; a node without a view of the driver's files gets it once."""
        if self.shared:
            return Path(source)
        blob = self.area / "blobs" / md5
        blob.parent.mkdir(parents=True, exist_ok=True)
        with _locked(blob.with_suffix(".lock")):
            if not blob.exists():
                partial = blob.with_suffix(".partial")
                self._fetch(source, partial)
                with partial.open("rb") as file:
                    found = hashlib.file_digest(file, "md5").hexdigest()
                if found != md5:
                    raise CellFailedError(f"{source} arrived with MD5 {found}, not {md5}")
                partial.chmod(0o444)
                partial.replace(blob)
        return blob

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
    stage: dict[str, Any], place: _Place, folder: Path, report: Callable[[dict[str, Any]], None]
) -> tuple[int, bool]:
    """Run the commands through the supervisor. Returns the exit status, and whether the user stopped them."""
    supervisor = _the_keeper(place)
    assert supervisor.stdout is not None
    log = place.log(stage["stage"])
    for path in (log, place.progress):
        path.parent.mkdir(parents=True, exist_ok=True)
    place.progress.unlink(missing_ok=True)
    environment = place.environment(stage, folder)
    order = {"run": stage["commands"], "cwd": str(folder), "env": environment, "log": str(log)}
    _order(supervisor, order)
    told, reported, synced = "go", 0.0, time.monotonic()
    shown = b""
    try:
        while True:
            ready, _, _ = select.select([supervisor.stdout], [], [], POLL_SECONDS)
            if ready:
                answer = supervisor.stdout.readline()
                if not answer:
                    raise CellFailedError(f"{stage['stage']}: the process that started it died; its log: {log}")
                return json.loads(answer)["exit"], told != "go"
            now = time.monotonic()
            if now - reported >= REPORT_SECONDS:
                reported = now
                wish: str = ray.get(place.file_server.wish.remote())
                if wish != told:
                    told = wish
                    _order(supervisor, {wish: True})
                progress = _read_or_empty(place.progress).encode()
                if progress and progress != shown:
                    shown = progress
                    report(json.loads(progress))
            if now - synced >= SYNC_SECONDS:
                place.send_state()
                synced = time.monotonic()
    except BaseException:
        # Without us nobody waits for the command: closing the input has the supervisor end it.
        _dismiss_keeper()
        raise


def clear(token: str) -> None:
    """Delete what a sweep has sent to this node."""
    shutil.rmtree(_own_area(token), ignore_errors=True)


def _own_area(token: str) -> Path:
    """Where a node works that doesn't see the sweep's folder."""
    return Path(tempfile.gettempdir()) / f"resgrid-{os.getuid()}" / token


def _end(code: int) -> str:
    """How a command ended, by its exit status; a shell gives 128 more than the signal that its command died of."""
    number = -code if code < 0 else code - 128
    return f"was killed by signal {number}" if number in signal.valid_signals() else f"ended with exit status {code}"


def _the_keeper(place: _Place) -> subprocess.Popen[bytes]:
    if not _keeper:
        command = [sys.executable, str(place.area / "supervisor.py"), *place.sweep["warm"]]
        _keeper.append(
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=_kept_environment() | place.sweep["environment"],
                cwd=place.area,
                start_new_session=True,
            )
        )
    return _keeper[0]


def _kept_environment() -> dict[str, str]:
    """What of this worker's environment is a cell's business too.

    Ray's settings aren't, nor the Slurm job's that Ray runs in, of which Lightning would take a cell with several
    devices to be a part. OMP_NUM_THREADS is Ray's; the parameters say the threads.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RAY_", "SLURM_"))}
    kept.pop("OMP_NUM_THREADS", None)
    return kept


def _dismiss_keeper() -> None:
    while _keeper:
        supervisor = _keeper.pop()
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


def _write_once(path: Path, text: str) -> None:
    if _read_or_empty(path) == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _read_or_empty(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _is_below_any(path: Path, folders: list[Path]) -> bool:
    return any(path == folder or path.is_relative_to(folder) for folder in folders)


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns
