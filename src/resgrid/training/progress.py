"""Reports a training: to the terminal, to a sweep's progress file, to MLflow and to the run record.

Nothing here can change a result, so edits of this module make no cell stale: callbacks read the training's state, and
they neither write tensors nor draw random numbers.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from resgrid.artifacts.data_card import DatasetCard
from resgrid.artifacts.files import write_atomically
from resgrid.hardware import choose_accelerator
from resgrid.terminal import console
from resgrid.tracking import Run
from resgrid.tracking.cells import FINAL_STEP, training_speed
from resgrid.tracking.records import CellRun, StageClock
from resgrid.tracking.training import open_training_run
from resgrid.training.build import Training
from resgrid.training.curve import CurveRecorder, Row
from resgrid.training.resume import TerminationRequested, UnusableCheckpoint

# A sweep sets this variable to a file's path, and reads the file to show its cells in one table.
PROGRESS_FILE = "RESGRID_PROGRESS"


@contextmanager
def observe_training(
    training: Training,
    card: DatasetCard,
    fingerprint: str,
    checkpoint: Path | None,
    unusable: Sequence[UnusableCheckpoint],
) -> Iterator[Observer]:
    """Open the training's run, report the training while the block lasts, and close the run with its outcome.

    Only the first rank reports.

    Args:
        checkpoint: the checkpoint from which the training resumes, or None.
        unusable: newer checkpoints that are skipped.

    Raises:
        OSError: the run record can't be written.
        ValueError: the run record is damaged.
    """
    cell, first = training.cell, training.trainer.is_global_zero
    progress = ProgressLine(
        cell.name, training.config.train.max_steps, training.config.train.batch_size, training.curve
    )
    training.attach(progress)
    if not first:
        yield Observer(training, progress, None)
        return
    precision, resumes = training.process.precision, checkpoint is not None
    run = open_training_run(cell, training.config, card, fingerprint, precision, resumes)
    training.attach(CurveLogger(training.curve, run.run))
    try:
        _print_start(training, fingerprint, checkpoint, unusable)
        yield Observer(training, progress, run)
    except TerminationRequested as request:
        run.finish("KILLED")
        console.print(f"{cell.name}: {request}; run the same command again to resume from the checkpoint")
        raise
    except BaseException as error:
        run.finish("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    run.finish()


@dataclass(frozen=True)
class Observer:
    """Reports of a training that its callbacks can't make."""

    training: Training
    progress: ProgressLine
    run: CellRun | None

    def begin_measuring(self) -> None:
        """Print that the final weights are measured, which takes a while on large data."""
        if self.run is not None:
            count = len(self.training.module.train_images)
            console.print(f"{self.training.cell.name}: measuring the final weights on all {count:,} training images")

    def record(self, clock: StageClock, resumed_from: Sequence[int]) -> None:
        """Complete the run record, and log the training's speed.

        Args:
            clock: clock of the pipeline stage.
            resumed_from: steps of the checkpoints from which the training resumed.
        """
        record = clock.record(
            devices=self.training.trainer.world_size,
            threads=self.training.config.train.threads,
            precision=self.training.process.precision,
            images_per_second=self.progress.images_per_second,
            resumed_from=resumed_from,
        )
        if self.run is not None:
            self.run.update(train=record)
            for row in self.training.curve.rows:  # those that waited in the queue when an earlier attempt was killed
                _log_row(self.run.run, row)
            self.run.run.log_metrics(FINAL_STEP, training_speed(record))


class CurveLogger(pl.Callback):
    """Logs each new row of the training curve to a run."""

    def __init__(self, curve: CurveRecorder, run: Run) -> None:
        self.curve, self.run = curve, run

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == TrainerFn.FITTING:
            _log_row(self.run, self.curve.rows[-1])


def _log_row(run: Run, row: Row) -> None:
    run.log_metrics(int(row["step"]), {name: value for name, value in row.items() if name != "step"})


class ProgressLine(pl.Callback):
    """Shows step, latest errors, speed and remaining time on the first rank.

    A terminal gets a live line, other outputs get a line for each validation. If the environment variable
    `PROGRESS_FILE` is set, the same numbers are written to its file once a second, as a JSON object.

    Args:
        name: name of the cell.
        max_steps: steps of the training.
        batch_size: images in a global batch.
        curve: recorder of the validations.
    """

    # Drawing the line takes a fraction of a millisecond, and eyes can't follow more than ten changes a second.
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

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero and trainer.state.fn == TrainerFn.FITTING:
            self._show(self.curve.rows[-1])

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step > self._first_step:
            self.images_per_second = self._speed(trainer)
        self._stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _show(self, row: Row) -> None:
        self._errors = f"error: training {row['train/error']:.1f}%, validation {row['val/error']:.1f}%"
        if self._live is None:
            console.print(f"{self.name}  step {int(row['step'])}/{self.max_steps}  {self._errors}", markup=False)

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


def _print_start(
    training: Training, fingerprint: str, checkpoint: Path | None, unusable: Sequence[UnusableCheckpoint]
) -> None:
    for skipped in unusable:
        console.print(f"{skipped.path}: {_explain(skipped)}; the checkpoint is skipped", markup=False)
    resumed = f", resumes from {checkpoint.name}" if checkpoint else ""
    console.print(
        f"{training.cell.name}: {training.trainer.world_size} × {choose_accelerator()}, "
        f"precision {training.process.precision}, {training.config.train.threads} threads, "
        f"fingerprint {fingerprint[:12]}{resumed}",
        markup=False,
    )


def _explain(skipped: UnusableCheckpoint) -> str:
    match skipped.difference:
        case "checksum file":
            return "no checksum file (writing was interrupted)"
        case "SHA-256":
            return "damaged (SHA-256 mismatch)"
        case condition:
            return f"computed with {condition} {skipped.found}, this run has {skipped.expected}"
