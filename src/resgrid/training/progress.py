"""The training's progress: a live line in a terminal, a line for each validation elsewhere, a file for a sweep."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from resgrid.artifacts.files import write_atomically
from resgrid.terminal import console
from resgrid.training.curve import CurveRecorder, Row

# A sweep names a file here, and reads it to show its cells side by side.
PROGRESS_FILE = "RESGRID_PROGRESS"


class ProgressLine(pl.Callback):
    """Shows the step, the last errors, the speed and the time that is left. Silent on all ranks but the first.

    Where the environment names a `PROGRESS_FILE`, the same numbers go there once a second, as a JSON object.

    Args:
        name: of the cell.
        max_steps: of the training.
        batch_size: of all devices together.
        curve: whose validations go into the file.
    """

    # Drawing a line takes a fraction of a millisecond; ten times a second is what an eye can follow.
    REFRESH_SECONDS = 0.1
    FILE_SECONDS = 1.0

    def __init__(self, name: str, max_steps: int, batch_size: int, curve: CurveRecorder) -> None:
        self.name, self.max_steps, self.batch_size, self.curve = name, max_steps, batch_size, curve
        self.images_per_second: float | None = None
        self._errors = ""
        self._file = Path(os.environ[PROGRESS_FILE]) if PROGRESS_FILE in os.environ else None
        self._live: Progress | None = None
        self._task = TaskID(0)
        self._began, self._first_step, self._drawn = 0.0, 0, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._began, self._first_step = time.monotonic(), trainer.global_step
        if trainer.is_global_zero and console.is_terminal:
            self._live = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.completed}/{task.total} steps  {task.fields[note]}"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._task = self._live.add_task(self.name, total=self.max_steps, completed=trainer.global_step, note="")
            self._live.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.monotonic()
        if self._file is not None and trainer.is_global_zero and now - self._drawn >= self.FILE_SECONDS:
            self._drawn = now
            self._write(self._file, trainer)
        if self._live is None or now - self._drawn < self.REFRESH_SECONDS:
            return
        self._drawn = now
        note = f"{self._speed(trainer):,.0f} images/s  {self._errors}"
        self._live.update(self._task, completed=trainer.global_step, note=note)

    def show(self, row: Row) -> None:
        """Take in a new row of the curve."""
        self._errors = f"error: training {row['train/error']:.1f} %, validation {row['val/error']:.1f} %"
        if self._live is None:
            console.print(f"{self.name}  step {int(row['step'])}/{self.max_steps}  {self._errors}", markup=False)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step > self._first_step:
            self.images_per_second = self._speed(trainer)
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _write(self, file: Path, trainer: pl.Trainer) -> None:
        validations = [(int(row["step"]), row["val/error"]) for row in self.curve.rows]
        progress = {
            "step": trainer.global_step,
            "max_steps": self.max_steps,
            "val_error": validations[-1][1] if validations else None,
            "images_per_second": round(self._speed(trainer), 1),
            "validations": validations,
        }
        write_atomically(file, json.dumps(progress).encode())

    def _speed(self, trainer: pl.Trainer) -> float:
        return (trainer.global_step - self._first_step) * self.batch_size / (time.monotonic() - self._began)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
