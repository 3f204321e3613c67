"""Records delivered pipeline stages in dvc.lock: while a sweep runs, and what an interrupted sweep left.

A stage is delivered when `delivered/<stage>.json`, with what the stage read, is next to its outputs in
`delivered/<stage>/`. Both remain until all stages of the cell are recorded.
"""

from __future__ import annotations

import json
import queue
import shutil
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from resgrid.sweep.graph import EVALUATE, Graph, GraphError, read_marker
from resgrid.sweep.live_table import FAILED, LiveTable

# Cells in a row that can't be recorded, after which the sweep ends.
MAX_FAILURES = 3
REMEDY = "fix the cause and rerun the sweep, which records it without running it again"


@dataclass
class Outcome:
    """How the cells of a sweep ended.

    Attributes:
        failed: the reasons, by cell.
        stopped: cells that were terminated or not started.
        busy_seconds: time that cells spent running, in total.
        first_start: of a cell, on the monotonic clock.
        last_commit: of a stage, on the monotonic clock.
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    busy_seconds: float = 0.0
    first_start: float | None = None
    last_commit: float | None = None

    @property
    def makespan(self) -> float:
        """Seconds from the start of the first cell to the last commit; 0 if nothing was committed."""
        if self.first_start is None or self.last_commit is None:
            return 0.0
        return self.last_commit - self.first_start


@dataclass
class Recorder:
    """A thread that commits delivered stages one after the other; no other thread writes dvc.lock.

    Attributes:
        work: the work directory.
        stages: each cell's stages in this sweep.
        outcome: to update.
    """

    graph: Graph
    work: Path
    stages: dict[str, list[str]]
    outcome: Outcome
    table: LiveTable

    def __post_init__(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._unrecorded: set[str] = set()
        self._failures = 0
        self._thread = threading.Thread(target=self._record_all, name="recorder")

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._waiting.put(None)
        self._thread.join()

    def record(self, cell: str, stage: str) -> None:
        """Record a delivered stage later."""
        self._waiting.put((cell, stage))

    def _record_all(self) -> None:
        while (delivery := self._waiting.get()) is not None:
            cell, stage = delivery
            if cell in self._unrecorded:
                continue  # an evaluate can't be recorded without its train
            try:
                self.graph.commit(stage, self.work / "delivered")
            except Exception as error:  # whatever happened, the other cells must be recorded
                reason = f"{stage}: can't be recorded: {error or type(error).__name__}; {REMEDY}"
                self.outcome.failed.setdefault(cell, reason)
                self.table.ended(cell, FAILED, reason)
                self._unrecorded.add(cell)
                self._failures += 1
                if self._failures == MAX_FAILURES:
                    (self.work / "terminate").touch()
            else:
                self._failures = 0
                self.outcome.last_commit = time.monotonic()
                if stage == self.stages[cell][-1]:
                    _delete(self.work / "delivered", self.stages[cell])


def adopt(graph: Graph, delivered: Path) -> list[str]:
    """Record stages that an earlier sweep delivered but didn't record, if they read what they would read now.

    Raises:
        GraphError: a stage can't be recorded; its outputs remain.
    """
    adopted: list[str] = []
    if not any(delivered.glob("*@*.json")):
        return adopted
    with graph.locked():
        stages = {stage for stages in graph.cells().values() for stage in stages}
        names = {path.name.removesuffix(".json") for path in delivered.glob("*@*.json")} & stages
        for stage in sorted(names, key=lambda name: (name.startswith(EVALUATE), name)):
            if graph.why_stale(stage):
                try:
                    if read_marker(delivered, stage) != json.loads(json.dumps(graph.snapshot(stage).inputs)):
                        continue
                    graph.commit(stage, delivered)
                except GraphError:
                    continue  # an evaluate without its train
                except Exception as error:
                    raise GraphError(
                        f"{stage}: can't be recorded: {error or type(error).__name__}; {REMEDY}"
                    ) from error
                adopted.append(stage)
            _delete(delivered, [stage])
        graph.forget()
    return adopted


def _delete(delivered: Path, stages: Iterable[str]) -> None:
    for stage in stages:
        (delivered / f"{stage}.json").unlink(missing_ok=True)
        shutil.rmtree(delivered / stage, ignore_errors=True)
