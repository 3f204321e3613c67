"""The Ray actor next to the driver: it passes files to and from nodes that can't read them, and the user's requests."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

CHUNK = 8 * 1024 * 1024


class FileServer:
    """Serves files to nodes without a view of the repository and receives theirs.

    Args:
        readable: folders that nodes may read: DVC's cache, the work directory, the state folder.
        work: the work directory; outputs are delivered to `delivered/<stage>/`.
        state: the folder of checkpoints and run records; a search has its own ones below `work`.
        jobs: the jobs of each cell's stages.
    """

    def __init__(self, readable: list[str], work: str, state: str, jobs: dict[str, list[dict[str, Any]]]) -> None:
        self._readable = [Path(folder) for folder in readable]
        self._writable = [Path(work), Path(state)]
        self._jobs = jobs
        self._delivered: set[str] = set()

    def request(self) -> str:
        """What the driver requests by files in the work directory: `kill`, `terminate`, or else `run`."""
        return next((name for name in ("kill", "terminate") if (self._writable[0] / name).exists()), "run")

    def jobs(self, cell: str) -> list[dict[str, Any]]:
        return self._jobs[cell]

    def read(self, path: str, offset: int) -> bytes:
        """Return up to `CHUNK` bytes of a file."""
        with self._confined(path, self._readable).open("rb") as file:
            file.seek(offset)
            return file.read(CHUNK)

    def write(self, path: str, offset: int, content: bytes, last: bool) -> None:
        """Receive a part of a file; the last part gives the file its name."""
        target = self._confined(path, self._writable)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.incoming")
        with partial.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            file.write(content)
        if last:
            partial.replace(target)

    def remove(self, path: str) -> None:
        self._confined(path, self._writable).unlink(missing_ok=True)

    def state_of(self, state: str, saved_as: str) -> list[str]:
        """List a cell's checkpoints and records, relative to its state folder: their names start with `saved_as`."""
        folder = self._confined(state, self._writable)
        found = [*folder.glob(f"checkpoints/{saved_as}-*/*"), *folder.glob(f"records/{saved_as}-*")]
        return [path.relative_to(folder).as_posix() for path in found if path.is_file()]

    def begin_delivery(self, stage: str) -> None:
        """Delete what an earlier attempt or sweep delivered."""
        folder = self._confined(f"{self._writable[0]}/delivered/{stage}", self._writable)
        folder.with_name(f"{stage}.json").unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def end_delivery(self, stage: str, inputs: str) -> None:
        """Mark a stage's outputs as complete, with what the stage read."""
        marker = self._confined(f"{self._writable[0]}/delivered/{stage}.json", self._writable)
        partial = marker.with_suffix(".partial")
        partial.write_text(inputs, encoding="utf-8")
        partial.replace(marker)
        self._delivered.add(stage)

    def is_delivered(self, stage: str) -> bool:
        """Tell whether a retried cell can skip a stage."""
        return stage in self._delivered

    @staticmethod
    def _confined(path: str, folders: list[Path]) -> Path:
        """The path with symbolic links followed, if it is in one of the folders then."""
        resolved = Path(path).resolve()
        if not any(resolved.is_relative_to(folder.resolve()) for folder in folders):
            raise PermissionError(f"{path}: outside the sweep's folders; declare the file in dvc.yaml")
        return resolved
