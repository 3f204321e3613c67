"""Training one cell from prepared data to its files under `runs/`: the table of contents of this package."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import warnings
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import pytorch_lightning as pl
import safetensors.torch
import torch

from resgrid.artifacts.cell_files import CellPaths, TrainMetrics
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.files import write_atomically
from resgrid.artifacts.run_record import RunRecord, StageRecord, record_path
from resgrid.cells import Cell
from resgrid.config.machine import MachineConfig
from resgrid.config.train import TrainConfig, TrainParams
from resgrid.data.reading.images import Images, Loader, load_images
from resgrid.hardware import (
    Precision,
    choose_accelerator,
    choose_precision,
    compute_exactly,
    count_devices,
    describe_hardware,
)
from resgrid.models import build_network, count_parameters
from resgrid.names import parse_network
from resgrid.terminal import console
from resgrid.tracking import Run, Untracked, start_run
from resgrid.tracking.lineage import current_commit, host_name, versions
from resgrid.training.accumulator import Score
from resgrid.training.curve import CurveRecorder, Row, snapshot
from resgrid.training.fingerprint import cell_fingerprint
from resgrid.training.gradients import GradientRecorder
from resgrid.training.module import Classifier
from resgrid.training.progress import ProgressLine
from resgrid.training.resume import Checkpoints, SaveForResuming, TerminationRequested
from resgrid.training.schedule import LearningRate
from resgrid.training.sync_batchnorm import make_batchnorm_global


def train_cell(cell: Cell, config: TrainParams, machine: MachineConfig, stage: Path) -> None:
    """Train a cell and write its weights, curve and metrics under `runs/<cell>`; go on from a checkpoint if one fits.

    Args:
        stage: the script of the pipeline stage, where the fingerprint's code begins.

    Raises:
        ValueError: the configuration doesn't fit this machine or these data.
        OSError: prepared data are missing, or an out can't be written.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    card = DatasetCard.read(PreparedPaths().card)
    fingerprint = cell_fingerprint(cell, config, card, stage)
    training = Training(cell, config, machine, card, fingerprint)
    try:
        training.run.log_params({"network": cell.network, "seed": cell.seed} | _flat_parameters(config, card))
        training.run.set_tags(_tags(cell, card, fingerprint, training.precision))
        metrics = training.fit()
        if training.trainer.is_global_zero:
            record = training.stage_record(started, time.monotonic() - clock)
            training.write(metrics, record)
            speed = {"train/images_per_second": record.images_per_second or 0.0, "train/seconds": record.seconds}
            training.run.log_metrics(metrics.steps, speed)
    except TerminationRequested as reason:
        training.run.finish("KILLED")
        if not training.trainer.is_global_zero:
            sys.exit()  # a rank that ends with an error has Lightning kill the first one, which may still be writing
        console.print(f"{cell.name}: {reason}; the checkpoint is written, the same command goes on from it")
        sys.exit(128 + signal.SIGTERM)
    except BaseException as error:
        training.run.finish("FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    training.run.finish()


class Training:
    """One cell's training, put together.

    Args:
        cell: what to train.
        config: of everything; each part gets its own section.
        card: of the prepared data.
        fingerprint: of the cell.
    """

    def __init__(
        self, cell: Cell, config: TrainParams, machine: MachineConfig, card: DatasetCard, fingerprint: str
    ) -> None:
        self.cell, self.config, self.machine, self.card, self.fingerprint = cell, config, machine, card, fingerprint
        self.precision: Precision = choose_precision(config.train.precision)
        compute_exactly(config.train.threads, config.train.deterministic, config.train.compile)
        # Where this is unset, Lightning gives each rank a share of the cores instead.
        os.environ["OMP_NUM_THREADS"] = str(config.train.threads)
        pl.seed_everything(cell.seed, verbose=False)
        devices = count_devices(config.train)
        check_launch(config.train, devices)
        self.module = self._build_module(world_size=devices * config.train.num_nodes)
        steps_per_epoch = len(self.module.train_images) / config.train.batch_size
        self.curve = CurveRecorder(steps_per_epoch, self._take_row)
        self.gradients = GradientRecorder(config.train.max_steps)
        self.progress = ProgressLine(cell.name, config.train.max_steps, config.train.batch_size, self.curve)
        self.checkpoints = Checkpoints.of(cell, fingerprint, self._conditions(devices * config.train.num_nodes))
        self.saving = SaveForResuming(self.checkpoints, machine.checkpoint_every)
        self.trainer = self._build_trainer(devices)
        self.resume_from = self.checkpoints.latest()
        self.run = self._open_run()

    def fit(self) -> TrainMetrics:
        """Train to the last step and measure the final weights."""
        config, trainer = self.config.train, self.trainer
        loader = self.module.train_images.training_loader(
            config.batch_size,
            self.cell.seed,
            self.config.augment,
            config.max_steps,
            lambda: trainer.global_step,
            trainer.global_rank,
            trainer.world_size,
        )
        trainer.fit(self.module, loader, self._evaluation_loader("val"), ckpt_path=self.resume_from, weights_only=True)
        if trainer.is_global_zero:
            count = len(self.module.train_images)
            console.print(f"{self.cell.name}: measuring the final weights on all {count:,} training images")
        final_train, final_val = self.score("train"), self.score("val")
        return TrainMetrics(
            network=self.cell.network,
            seed=self.cell.seed,
            parameters=count_parameters(self.module.network),
            steps=config.max_steps,
            epochs=round(config.max_steps / self.curve.steps_per_epoch, 4),
            train_loss=final_train.loss,
            train_error=final_train.error,
            val_loss=final_val.loss,
            val_error=final_val.error,
            selected_step=self.curve.selected_step,
            selected_val_error=self.curve.selected_error,
            precision=self.precision,
            fingerprint=self.fingerprint,
        )

    def write(self, metrics: TrainMetrics, record: StageRecord) -> None:
        """Write the outs, then the record; with these in place the checkpoints have served."""
        paths = CellPaths(self.cell)
        write_atomically(paths.weights, safetensors.torch.save(snapshot(self.module)))
        write_atomically(paths.selected, safetensors.torch.save(self.curve.selected_weights))
        write_atomically(paths.curve, self.curve.csv())
        write_atomically(paths.gradients, self.gradients.csv())
        metrics.write(paths.metrics)
        self._write_record(record)
        self.checkpoints.delete()

    def stage_record(self, started: datetime, seconds: float) -> StageRecord:
        return StageRecord(
            started=started.isoformat(timespec="seconds"),
            seconds=round(seconds, 1),
            images_per_second=self.progress.images_per_second,
            resumed_from=self.saving.resumed_from,
            commit=current_commit(),
            host=host_name(),
            hardware=describe_hardware(),
            devices=self.trainer.world_size,
            threads=torch.get_num_threads(),
            precision=self.precision,
            versions=versions(),
        )

    def _build_module(self, world_size: int) -> Classifier:
        config, card = self.config, self.card
        if config.augment.pad >= min(card.shape[1:]):
            raise ValueError(f"augment.pad: {config.augment.pad}: must be below the images' size, {card.shape[1:]}")
        network = build_network(self.cell.network, len(card.classes), card.shape[0])
        if config.train.sync_batchnorm and world_size > 1 and choose_accelerator() == "cpu":
            make_batchnorm_global(network)
        rate = LearningRate(config.optimizer, config.schedule, parse_network(self.cell.network).depth)
        train_images, val_images = (self._images(split) for split in ("train", "val"))
        return Classifier(
            network, train_images, val_images, config.optimizer, rate, config.train.compile, self.cell.seed
        )

    def _images(self, split: str) -> Images:
        config = self.config
        return load_images(PreparedPaths(), split, config.augment.normalize, self.card, self.machine.workers)

    def _build_trainer(self, devices: int) -> pl.Trainer:
        config = self.config.train
        # It advertises, lists devices that are not there, and tells of each checkpoint.
        logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        # The loader needs no state: it asks for the step that is restored.
        warnings.filterwarnings("ignore", message=".*your dataloader is not resumable")
        # Lightning's own call of a torch function that is deprecated since 2.14.
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
        return pl.Trainer(
            accelerator=choose_accelerator(),
            devices=devices,
            num_nodes=config.num_nodes,
            strategy="ddp" if devices * config.num_nodes > 1 else "auto",
            precision="bf16-mixed" if self.precision == "bf16" else "32-true",
            max_steps=config.max_steps,
            max_epochs=-1,
            # The loader's length is max_steps: Lightning sees one epoch, with validations inside it.
            val_check_interval=config.val_every,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            sync_batchnorm=config.sync_batchnorm and choose_accelerator() == "gpu",
            benchmark=not config.deterministic,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[self.curve, self.gradients, self.progress, self.saving],
        )

    def _conditions(self, world_size: int) -> dict[str, str]:
        """What must be equal for a resumed run to compute the same bits."""
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        return {
            "torch": torch.__version__,
            "pytorch-lightning": version("pytorch-lightning"),
            "numpy": np.__version__,
            "precision": self.precision,
            "device": device,
            "devices": str(world_size),
        }

    def _open_run(self) -> Run:
        """The first rank's run; a resumed cell goes on with the run that it had."""
        if not self.trainer.is_global_zero:
            return Untracked()
        record = record_path(self.cell, self.fingerprint)
        previous = RunRecord.read(record).run_id if self.resume_from and record.exists() else None
        run = start_run(self.cell.name, self.card.label, previous)
        RunRecord(
            cell=self.cell.name, fingerprint=self.fingerprint, run_id=run.run_id, tracking_uri=run.tracking_uri
        ).write(record)
        resumed = f", going on from {self.resume_from.name}" if self.resume_from else ""
        console.print(
            f"{self.cell.name}: {self.trainer.world_size} × {choose_accelerator()}, precision {self.precision}, "
            f"{self.config.train.threads} threads, fingerprint {self.fingerprint[:12]}{resumed}",
            markup=False,
        )
        return run

    def _write_record(self, stage_record: StageRecord) -> None:
        record = RunRecord(
            cell=self.cell.name,
            fingerprint=self.fingerprint,
            run_id=self.run.run_id,
            tracking_uri=self.run.tracking_uri,
            train=stage_record,
        )
        record.write(record_path(self.cell, self.fingerprint))

    def _take_row(self, row: Row) -> None:
        self.run.log_metrics(int(row["step"]), {name: value for name, value in row.items() if name != "step"})
        if self.trainer.is_global_zero:
            self.progress.show(row)

    def _evaluation_loader(self, split: str) -> Loader:
        images = self.module.val_images if split == "val" else self.module.train_images
        kind = "cpu" if self.trainer.strategy.root_device.type == "cpu" else "gpu"
        return images.evaluation_loader(
            images.VALIDATION_BATCH[kind], self.trainer.global_rank, self.trainer.world_size
        )

    def score(self, split: Literal["train", "val"]) -> Score:
        """Measure the present weights on a whole split, each image once on any number of devices."""
        self.module.score_images = split
        self.trainer.validate(self.module, self._evaluation_loader(split), verbose=False)
        assert self.module.val_score is not None
        return self.module.val_score


def check_launch(config: TrainConfig, devices: int) -> None:
    """Refuse to train alone, or several times side by side, where ranks are to train together.

    Args:
        devices: of each node.

    Raises:
        ValueError: torchrun started another number of processes than the parameters say, or nothing says which of the
            nodes this one is.
    """
    wanted = f"train.devices {devices} × train.num_nodes {config.num_nodes}"
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        started = int(os.environ["WORLD_SIZE"])
        if started != devices * config.num_nodes:
            raise ValueError(f"{wanted}: torchrun started {started} processes in all; the two must agree")
    elif config.num_nodes > 1 and not {"SLURM_NTASKS", "NODE_RANK"} & os.environ.keys():
        raise ValueError(
            f"{wanted}: start it on each node with torchrun or srun, or with MASTER_ADDR, MASTER_PORT and NODE_RANK set"
        )


def _flat_parameters(config: TrainParams, card: DatasetCard) -> dict[str, object]:
    """What training depends on, with dotted names, as MLflow lists parameters."""
    flat: dict[str, object] = {"data.name": card.name}
    flat |= {f"data.{split}_images": card.counts[split] for split in ("train", "val")}

    def add(prefix: str, value: object) -> None:
        if isinstance(value, dict) and value:
            for name, part in value.items():
                add(f"{prefix}.{name}", part)
        else:
            flat[prefix] = value

    for section, values in config.model_dump(mode="json", include=set(TrainParams.model_fields)).items():
        add(section, values)
    return flat


def _tags(cell: Cell, card: DatasetCard, fingerprint: str, precision: Precision) -> dict[str, str]:
    network = parse_network(cell.network)
    return {
        "cell": cell.name,
        "kind": network.kind,
        "depth": "unknown" if network.depth is None else str(network.depth),
        "shortcut": network.shortcut,
        "data": card.label,
        "data_hash": card.data_hash,
        "fingerprint": fingerprint,
        "hardware": describe_hardware(),
        "precision": precision,
        "mlflow.source.name": "pipeline.train",
        "mlflow.source.git.commit": current_commit() or "unknown",
    }
