"""The cost of tracking and checkpoints per step, measured in the product's own training of a cell."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl

from benchmarks.loops import build_product, time_training
from benchmarks.timing import Spread
from resgrid.artifacts.data_card import DatasetCard
from resgrid.config.whole import Config
from resgrid.tracking import Untracked
from resgrid.tracking.mlflow_run import MlflowRun, Point
from resgrid.training.progress import CurveLogger
from resgrid.training.resume import Checkpoints, SaveForResuming

# Steps between validations, and between checkpoints: a short stretch then has enough of both.
EVERY = 2


@dataclass(frozen=True)
class Overheads:
    """Overheads of one cell with a preset's settings. A share is a part of a step's time; neither includes validation.

    Attributes:
        step_seconds: time of a step of the product's loop, without tracking and checkpoints.
        log_seconds: time to send one validation's points to MLflow.
        monitor_seconds_per_second: processor time of MLflow's system metrics, an upper bound of what training loses.
        save_seconds: time to write one checkpoint and its checksum file.
        tracking_share: share of logging, at the preset's `val_every`, and of the system metrics.
        checkpoint_share: share of checkpoints, at the preset's `checkpoint_every`.
    """

    preset: str
    network: str
    val_every: int
    checkpoint_every: int
    step_seconds: float
    log_seconds: Spread
    monitor_seconds_per_second: float
    save_seconds: Spread
    tracking_share: float
    checkpoint_share: float


def measure_overheads(
    network: str, config: Config, card: DatasetCard, step_seconds: float, occasions: int, idle_seconds: float
) -> Overheads:
    """Measure the overheads of a preset.

    Args:
        network: name of the network.
        config: the preset's content.
        card: card of the prepared data in the working folder.
        step_seconds: time of a step of the same loop without tracking and checkpoints.
        occasions: number of validations and checkpoints to time.
        idle_seconds: time during which only the system metrics run.
    """
    often = {"val_every": EVERY, "max_steps": 1000 * EVERY}
    busy = config.model_copy(update={"train": config.train.model_copy(update=often)})
    training = build_product(network, busy, card)
    cell = training.cell
    saving = _TimedSaving(Checkpoints.of(cell, "benchmark", training.process.conditions()), EVERY)
    run = _TimedRun(MlflowRun.start(cell.name, card.label, None, monitors=True))
    training.attach(saving)
    training.attach(CurveLogger(training.curve, run))
    try:
        time_training(training, occasions * EVERY)
        monitor = _processor_share(idle_seconds)
    finally:
        run.finish()
    log, save = Spread.of(run.seconds), Spread.of(saving.seconds)
    train = config.train
    return Overheads(
        preset=config.preset,
        network=network,
        val_every=train.val_every,
        checkpoint_every=config.machine.checkpoint_every,
        step_seconds=step_seconds,
        log_seconds=log,
        monitor_seconds_per_second=monitor,
        save_seconds=save,
        tracking_share=log.median / (train.val_every * step_seconds) + monitor,
        checkpoint_share=save.median / (config.machine.checkpoint_every * step_seconds),
    )


def _processor_share(idle_seconds: float) -> float:
    """Return the processor seconds per second of the background threads, while the main thread sleeps."""
    began = time.process_time()
    time.sleep(idle_seconds)
    return (time.process_time() - began) / idle_seconds


class _TimedRun(Untracked):
    """A run that measures how long the store takes for a validation; the product's training does not wait for this."""

    def __init__(self, run: MlflowRun) -> None:
        self._run = run
        self.seconds: list[float] = []

    def log_metrics(self, step: int, values: Mapping[str, float]) -> None:
        began = time.perf_counter()
        now = int(time.time() * 1000)
        self._run.log_points([Point(key, step, value, now) for key, value in values.items()])
        self.seconds.append(time.perf_counter() - began)

    def finish(self, status: str = "FINISHED", ended: int | None = None) -> bool:
        self._run.finish(status, ended)
        return True


class _TimedSaving(SaveForResuming):
    """The product's callback, which measures how long it takes to save."""

    def __init__(self, checkpoints: Checkpoints, every: int) -> None:
        super().__init__(checkpoints, every)
        self.seconds: list[float] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        began = time.perf_counter()
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        if trainer.global_step and trainer.global_step % self.every == 0:
            self.seconds.append(time.perf_counter() - began)
