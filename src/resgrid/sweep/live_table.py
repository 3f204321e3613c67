"""What people see of a running sweep: a live table in a terminal, a line for each event elsewhere."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from rich.live import Live
from rich.table import Table
from rich.text import Text

from resgrid.terminal import console

WAITING, RUNNING, DONE, STOPPED, FAILED = "waiting", "running", "done", "stopped", "failed"
STYLES = {WAITING: "dim", RUNNING: "cyan", DONE: "green", STOPPED: "yellow", FAILED: "bold red"}


@dataclass
class Line:
    """What is known of a cell."""

    state: str = WAITING
    stage: str = ""
    step: int = 0
    max_steps: int = 0
    val_error: float | None = None
    images_per_second: float | None = None
    began: float | None = None
    ended: float | None = None
    attempts: int = 0
    note: str = ""

    @property
    def seconds(self) -> float:
        return 0.0 if self.began is None else (self.ended or time.monotonic()) - self.began

    @property
    def eta(self) -> str:
        """Time left in training, from the mean speed of this attempt."""
        if self.state != RUNNING or not self.step or self.stage != "train":
            return ""
        return _clock(self.seconds / self.step * (self.max_steps - self.step))


class LiveTable:
    """The cells of a sweep side by side. Methods may be called from several threads.

    Args:
        cells: in the order in which they are shown.
    """

    def __init__(self, cells: list[str]) -> None:
        self.lines = {cell: Line() for cell in cells}
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
        """Show one more."""
        with self._lock:
            self.lines.setdefault(cell, Line())

    def started(self, cell: str) -> None:
        with self._lock:
            line = self.lines[cell]
            line.state, line.began, line.ended = RUNNING, time.monotonic(), None
            line.attempts += 1
        self._say(f"{cell}: started" + (f" again ({line.attempts - 1})" if line.attempts > 1 else ""))

    def progress(self, cell: str, values: dict[str, object]) -> None:
        with self._lock:
            line = self.lines[cell]
            for name in ("stage", "step", "max_steps", "val_error", "images_per_second"):
                if name in values:
                    value = values[name]
                    setattr(line, name, str(value).partition("@")[0] if name == "stage" else value)

    def delivered(self, cell: str, stage: str, seconds: float) -> None:
        self._say(f"{cell}: {stage.partition('@')[0]} done in {seconds:.1f} s")

    def ended(self, cell: str, state: str, note: str = "") -> None:
        with self._lock:
            line = self.lines[cell]
            line.state, line.note, line.ended = state, note, time.monotonic()
        if state in (FAILED, STOPPED):
            self._say(f"{cell}: {state}{': ' if note else ''}{note}")

    def retried(self, cell: str, reason: str) -> None:
        with self._lock:
            self.lines[cell].state, self.lines[cell].note = WAITING, reason
        self._say(f"{cell}: {reason}; it will be tried again")

    def note(self, text: str) -> None:
        """Say something that concerns all cells."""
        console.print(text, style="yellow", markup=False)

    def _say(self, text: str) -> None:
        if not console.is_terminal:
            console.print(text, markup=False)

    def _table(self) -> Table:
        with self._lock:
            counts = {state: sum(line.state == state for line in self.lines.values()) for state in STYLES}
            title = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
            table = Table(title=title, caption="Ctrl-C: save and stop; twice: stop at once", expand=False)
            for column in ("cell", "state", "step", "val error", "images/s", "time", "left"):
                table.add_column(column, justify="left" if column in ("cell", "state") else "right")
            order = {RUNNING: 0, FAILED: 1, STOPPED: 2, WAITING: 3, DONE: 4}
            lines = sorted(self.lines.items(), key=lambda item: order[item[1].state])
            room = max(5, console.height - 8)
            for cell, line in lines[:room]:
                table.add_row(
                    cell,
                    Text(line.stage if line.state == RUNNING and line.stage else line.state, style=STYLES[line.state]),
                    f"{line.step:,}/{line.max_steps:,}" if line.max_steps else "",
                    "" if line.val_error is None else f"{line.val_error:.2f} %",
                    "" if line.images_per_second is None else f"{line.images_per_second:,.0f}",
                    _clock(line.seconds) if line.began else "",
                    line.eta,
                )
            if len(lines) > room:
                table.add_row(f"and {len(lines) - room} more", "", "", "", "", "", "")
            return table


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
