"""A run whose calls return at once: a thread opens the run in the store and sends what was recorded."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from resgrid.terminal import console
from resgrid.tracking import Dataset
from resgrid.tracking.mlflow_run import MlflowRun, Point, is_permanent
from resgrid.tracking.store import first_line, server_or_database

OPERATIONS_AT_MOST = 10_000
POINTS_AT_MOST = 100_000

# After a failure, the thread waits before it tries again, each time twice as long.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0

# `finish` gives up if the thread makes no progress for this time, and `run_id` if the run isn't opened within it.
PATIENCE_SECONDS = 60.0

# MLflow's defaults keep a call waiting for minutes: https://mlflow.org/docs/latest/api_reference/python_api/mlflow.environment_variables.html
_HTTP_LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}

Operation = Callable[[MlflowRun], None]


class QueuedRun:
    """See `resgrid.tracking.Run`. Errors of the store cost one warning: nothing is raised, and nothing waits.

    Args:
        start: opens the run; called by the thread, again after a failure.
        on_open: called by the thread with the run's id, once the run is open.
    """

    def __init__(self, start: Callable[[], MlflowRun], on_open: Callable[[str], None] | None = None) -> None:
        for name, limit in _HTTP_LIMITS.items():
            os.environ.setdefault(name, limit)
        self.tracking_uri = server_or_database()
        self._start, self._on_open = start, on_open
        self._run: MlflowRun | None = None
        self._operations: deque[Operation] = deque()
        self._points: list[Point] = []
        self._current: Operation | None = None
        self._changed = threading.Condition()
        self._attempted, self._closing, self._ended = threading.Event(), threading.Event(), threading.Event()
        self._complete, self._warned, self._progress = True, False, 0
        threading.Thread(target=self._work, name="tracking", daemon=True).start()

    @property
    def run_id(self) -> str | None:
        """The run's id, or None if the store does not open; waits for the first attempt."""
        self._attempted.wait(PATIENCE_SECONDS)
        return self._run.run_id if self._run else None

    def log_params(self, params: Mapping[str, object]) -> None:
        given = dict(params)
        self._add(lambda run: run.log_params(given))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        given = dict(tags)
        self._add(lambda run: run.set_tags(given))

    def log_dataset(self, dataset: Dataset) -> None:
        self._add(lambda run: run.log_dataset(dataset))

    def log_model(self, name: str, dataset: Dataset | None, metrics: Mapping[str, float]) -> None:
        given = dict(metrics)
        self._add(lambda run: run.log_model(name, dataset, given))

    def log_metrics(self, step: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        with self._changed:
            if len(self._points) < POINTS_AT_MOST:
                self._points += (Point(key, step, value, now) for key, value in values.items())
            else:
                self._complete = False
            self._changed.notify()

    def log_file(self, path: Path) -> None:
        self._add(lambda run: run.log_file(path))

    def log_text(self, name: str, text: str) -> None:
        self._add(lambda run: run.log_text(name, text))

    def finish(self, status: str = "FINISHED", ended: int | None = None) -> bool:
        self._add(lambda run: run.finish(status, ended))
        with self._changed:
            self._closing.set()
            self._changed.notify()
        progress = self._progress
        while not self._ended.wait(PATIENCE_SECONDS):
            if self._progress == progress:
                return False
            progress = self._progress
        return self._complete

    def _add(self, operation: Operation) -> None:
        with self._changed:
            if len(self._operations) < OPERATIONS_AT_MOST:
                self._operations.append(operation)
            else:
                self._complete = False
            self._changed.notify()

    def _work(self) -> None:
        pause = FIRST_PAUSE / 2
        while True:
            last_attempt, progress = self._closing.is_set(), self._progress
            try:
                self._send()
                break  # `finish` was called, and everything is sent
            except Exception as error:  # of any kind: see `MlflowRun`
                self._attempted.set()
                self._warn(error)
                if last_attempt:
                    self._complete = False
                    break
                pause = FIRST_PAUSE if self._progress > progress else min(2 * pause, LONGEST_PAUSE)
                self._closing.wait(pause)
        self._ended.set()

    def _send(self) -> None:
        """Send what was recorded, until `finish` was called and everything is sent.

        Raises:
            Exception: the store fails; what isn't sent stays in the queue.
        """
        if self._run is None:
            self._run = self._start()
            if self._on_open is not None:
                self._on_open(self._run.run_id)
        self._attempted.set()
        while (operation := self._next()) is not None:
            try:
                operation(self._run)
            except Exception as error:
                if not is_permanent(error):
                    raise
                self._complete = False
                self._warn(error)
            self._current = None
            self._progress += 1

    def _next(self) -> Operation | None:
        """Wait for the next operation, which stays the next one until it succeeds; None if there will be none."""
        with self._changed:
            self._changed.wait_for(lambda: self._current or self._points or self._operations or self._closing.is_set())
            if self._current is None and self._points:
                points, self._points = self._points, []
                self._current = lambda run: run.log_points(points)
            elif self._current is None and self._operations:
                self._current = self._operations.popleft()
            return self._current

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            described = isinstance(error, ValueError)  # by `open_client`
            problem = str(error) if described else f"{self.tracking_uri or 'mlruns/'}: {first_line(error)}"
            console.print(
                f"tracking: {problem}; the run continues, and `resgrid track` sends what MLflow lacks",
                style="yellow",
                markup=False,
            )
