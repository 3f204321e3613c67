"""Trains one cell, from prepared data to its files under `runs/`: `train_cell` lists the steps."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Literal

import safetensors.torch

from resgrid.artifacts.cell_files import CellPaths, TrainMetrics
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.files import write_atomically
from resgrid.cells import Cell
from resgrid.config.machine import MachineConfig
from resgrid.config.train import TrainParams
from resgrid.data.reading.images import Loader
from resgrid.hardware import explain_exhausted_memory
from resgrid.models import count_parameters
from resgrid.sources.manifest import Manifest
from resgrid.tracking.records import StageClock
from resgrid.training.accumulator import Score
from resgrid.training.build import Training, build_training
from resgrid.training.curve import snapshot
from resgrid.training.fingerprint import cell_fingerprint
from resgrid.training.progress import observe_training
from resgrid.training.resume import Checkpoints, SaveForResuming, TerminationRequested


@explain_exhausted_memory()
def train_cell(cell: Cell, config: TrainParams, machine: MachineConfig, manifest: Manifest) -> None:
    """Train a cell and write its weights, curve, gradients and metrics; resume if a usable checkpoint exists.

    The process exits with status 143 if SIGTERM ended the training, after its checkpoint is written.

    Args:
        manifest: what `sources/train/<network>.json` says of the code and packages, checked.

    Raises:
        ValueError: the configuration does not fit this machine, its memory or the data, or the prepared data are
            missing.
        OSError: an output can't be written.
    """
    clock = StageClock(manifest)
    card = DatasetCard.read(PreparedPaths().card)
    training = build_training(cell, config, card, machine.workers)
    fingerprint = cell_fingerprint(cell, config, card, manifest, training.process.world_size)
    checkpoints = Checkpoints.of(cell, fingerprint, training.process.conditions())
    checkpoint, unusable = checkpoints.latest()
    saving = SaveForResuming(checkpoints, machine.checkpoint_every)
    training.attach(saving)
    try:
        with observe_training(training, card, fingerprint, checkpoint, unusable) as observer:
            with clock.computing():
                fit(training, checkpoint)
                observer.begin_measuring()
                metrics = measure(training, fingerprint)
            if training.trainer.is_global_zero:
                write(training, metrics, CellPaths(cell))
                observer.record(clock, saving.resumed_from)
    except TerminationRequested:
        # If another rank ends with an error, Lightning kills the first rank, which may still be writing.
        sys.exit(128 + signal.SIGTERM if training.trainer.is_global_zero else 0)
    if training.trainer.is_global_zero:
        checkpoints.delete()


def fit(training: Training, checkpoint: Path | None = None) -> None:
    """Train to the last step, from a checkpoint or from the initial weights.

    Raises:
        TerminationRequested: SIGTERM ended the training; a checkpoint is written.
    """
    config, trainer = training.config, training.trainer
    loader = training.module.train_images.training_loader(
        config.train.batch_size,
        training.cell.seed,
        config.augment,
        config.train.max_steps,
        lambda: trainer.global_step,
        trainer.global_rank,
        trainer.world_size,
    )
    trainer.fit(training.module, loader, _evaluation_loader(training, "val"), ckpt_path=checkpoint, weights_only=True)


def measure(training: Training, fingerprint: str) -> TrainMetrics:
    """Measure the final weights on all training and validation images, without augmentation."""
    train, val = score(training, "train"), score(training, "val")
    curve, steps = training.curve, training.config.train.max_steps
    return TrainMetrics(
        network=training.cell.network,
        seed=training.cell.seed,
        parameters=count_parameters(training.module.network),
        steps=steps,
        epochs=round(steps / curve.steps_per_epoch, 4),
        train_loss=train.loss,
        train_error=train.error,
        val_loss=val.loss,
        val_error=val.error,
        selected_step=curve.selected_step,
        selected_val_error=curve.selected_error,
        precision=training.process.precision,
        fingerprint=fingerprint,
    )


def score(training: Training, split: Literal["train", "val"]) -> Score:
    """Measure the current weights on a split, each image once, on any number of devices."""
    module = training.module
    module.score_images = split
    training.trainer.validate(module, _evaluation_loader(training, split), verbose=False)
    assert module.val_score is not None
    return module.val_score


def write(training: Training, metrics: TrainMetrics, paths: CellPaths) -> None:
    """Write the cell's outputs.

    Raises:
        OSError: an output can't be written.
    """
    write_atomically(paths.weights, safetensors.torch.save(snapshot(training.module)))
    write_atomically(paths.selected, safetensors.torch.save(training.curve.selected_weights))
    write_atomically(paths.curve, training.curve.csv())
    write_atomically(paths.gradients, training.gradients.csv())
    write_atomically(paths.trace, training.trace.trace_bytes())
    write_atomically(paths.anchors, training.trace.anchors_bytes())
    metrics.write(paths.metrics)


def _evaluation_loader(training: Training, split: Literal["train", "val"]) -> Loader:
    images = training.module.val_images if split == "val" else training.module.train_images
    trainer = training.trainer
    device = "cpu" if trainer.strategy.root_device.type == "cpu" else "gpu"
    return images.evaluation_loader(images.VALIDATION_BATCH[device], trainer.global_rank, trainer.world_size)
