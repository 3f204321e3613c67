"""The progress of a sweep or search: a live table in a terminal, a line per event elsewhere."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from resgrid.terminal import console

WAITING, RUNNING, DONE, STOPPED, FAILED = "waiting", "running", "done", "stopped", "failed"
STYLES = {WAITING: "dim", RUNNING: "cyan", DONE: "green", STOPPED: "yellow", FAILED: "bold red"}


@dataclass
class Row:
    """The state of a cell, and the values that it last reported."""

    state: str = WAITING
    values: dict[str, Any] = field(default_factory=dict)
    start: float | None = None
    end: float | None = None
    attempts: int = 0

    def cells(self) -> list[str]:
        """The columns after the cell's state."""
        seconds = 0.0 if self.start is None else (self.end or time.monotonic()) - self.start
        step, max_steps = self.values.get("step", 0), self.values.get("max_steps", 0)
        is_training = self.state == RUNNING and step and self.values["stage"].startswith("train")
        return [
            f"{step:,}/{max_steps:,}" if max_steps else "",
            f"{self.values['val_error']:.2f}%" if self.values.get("val_error") is not None else "",
            f"{self.values['images_per_second']:,.0f}" if self.values.get("images_per_second") is not None else "",
            _clock(seconds) if self.start else "",
            # From the mean speed of this attempt.
            _clock(seconds / step * (max_steps - step)) if is_training else "",
        ]


class LiveTable:
    """A table with a row per cell. Several threads may call its methods.

    Args:
        cells: in the order of the rows.
    """

    def __init__(self, cells: list[str]) -> None:
        self.rows = {cell: Row() for cell in cells}
        self._lock = threading.Lock()
        self._live = Live(get_renderable=self._table, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> LiveTable:
        if console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if console.is_terminal:
            self._live.stop()

    def add(self, cell: str) -> None:
        """Add a row."""
        with self._lock:
            self.rows.setdefault(cell, Row())

    def started(self, cell: str) -> None:
        with self._lock:
            row = self.rows[cell]
            row.state, row.start, row.end = RUNNING, time.monotonic(), None
            row.attempts += 1
        self._print(f"{cell}: started" + (f" again ({row.attempts - 1})" if row.attempts > 1 else ""))

    def progress(self, cell: str, values: dict[str, Any]) -> None:
        with self._lock:
            self.rows[cell].values |= values

    def delivered(self, cell: str, stage: str, seconds: float) -> None:
        self._print(f"{cell}: {stage.partition('@')[0]} done in {seconds:.1f} s")

    def ended(self, cell: str, state: str, note: str = "") -> None:
        with self._lock:
            self.rows[cell].state, self.rows[cell].end = state, time.monotonic()
        if state in (FAILED, STOPPED):
            self._print(f"{cell}: {state}{': ' if note else ''}{note}")

    def retried(self, cell: str, reason: str) -> None:
        with self._lock:
            self.rows[cell].state = WAITING
        self._print(f"{cell}: {reason}; trying again")

    def _print(self, text: str) -> None:
        if not console.is_terminal:
            console.print(text, markup=False)

    def _table(self) -> Table:
        with self._lock:
            counts = {state: sum(row.state == state for row in self.rows.values()) for state in STYLES}
            title = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
            table = Table(title=title, caption="Ctrl-C: save and stop; twice: stop at once", expand=False)
            for column in ("cell", "state", "step", "val error", "images/s", "time", "left"):
                table.add_column(column, justify="left" if column in ("cell", "state") else "right")
            order = {RUNNING: 0, FAILED: 1, STOPPED: 2, WAITING: 3, DONE: 4}
            rows = sorted(self.rows.items(), key=lambda item: order[item[1].state])
            room = max(5, console.height - 8)
            for cell, row in rows[:room]:
                stage = row.values.get("stage", "").partition("@")[0]
                state = Text(stage if row.state == RUNNING and stage else row.state, style=STYLES[row.state])
                table.add_row(cell, state, *row.cells())
            if len(rows) > room:
                table.add_row(f"and {len(rows) - room} more")
            return table


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
