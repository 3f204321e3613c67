"""The Ray actor beside the driver: what the nodes ask, and where files pass that a node can't see."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

CHUNK = 8 * 1024 * 1024


class FileServer:
    """Serves the files of the sweep to nodes without a view of the repository, and takes theirs.

    Args:
        readable: the folders that nodes may read: DVC's cache, the sweep's area, the state folder.
        area: the sweep's folder; delivered outs lie in `delivered/<stage>/`.
        state: the folder of checkpoints and run records; a search has its own ones below `area`.
        jobs: by cell, what it consists of.
    """

    def __init__(self, readable: list[str], area: str, state: str, jobs: dict[str, dict[str, Any]]) -> None:
        self._readable = [Path(folder) for folder in readable]
        self._area, self._state = Path(area), Path(state)
        self._jobs = jobs
        self._wish = "go"
        self._delivered: set[str] = set()

    def wish(self) -> str:
        """What the user wants of the nodes: `go`, `stop` (save a checkpoint and end), or `kill`."""
        return self._wish

    def want(self, wish: str) -> None:
        self._wish = wish

    def job(self, cell: str) -> dict[str, Any]:
        return self._jobs[cell]

    def read(self, path: str, offset: int) -> bytes:
        """Up to `CHUNK` bytes of a file."""
        place = self._checked(path, self._readable)
        with place.open("rb") as file:
            file.seek(offset)
            return file.read(CHUNK)

    def write(self, path: str, offset: int, content: bytes, last: bool) -> None:
        """Take a part of a file; with the last part it gets its name."""
        place = self._checked(path, [self._area, self._state])
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(f".{place.name}.incoming")
        with partial.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            file.write(content)
        if last:
            partial.replace(place)

    def remove(self, path: str) -> None:
        self._checked(path, [self._area, self._state]).unlink(missing_ok=True)

    def state_of(self, state: str, saved_as: str) -> list[str]:
        """The checkpoints and records of a cell, below its state folder: those whose names begin with `saved_as`."""
        folder = self._checked(state, [self._area, self._state])
        found = [*folder.glob(f"checkpoints/{saved_as}-*/*"), *folder.glob(f"records/{saved_as}-*")]
        return [path.relative_to(folder).as_posix() for path in found if path.is_file()]

    def deliver(self, stage: str, keep_for: str, kept: list[str]) -> None:
        """A stage's outs are complete under `delivered/`; keep a copy of those that the cell's next stage reads."""
        for path in kept:
            place = self._area / "made" / keep_for / path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._area / "delivered" / stage / path, place)
        self._delivered.add(stage)

    def is_delivered(self, stage: str) -> bool:
        """Whether a retried cell can leave out a stage."""
        return stage in self._delivered

    @staticmethod
    def _checked(path: str, folders: list[Path]) -> Path:
        place = Path(os.path.normpath(path))
        if not any(place.is_relative_to(folder) for folder in folders):
            raise PermissionError(f"{path} is no file of this sweep")
        return place
