"""Builds a training: the network in its module, the callbacks that record results, and Lightning's trainer."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.cells import Cell
from resgrid.config.train import TrainConfig, TrainParams
from resgrid.data.reading.images import load_images
from resgrid.hardware import choose_accelerator
from resgrid.models import build_network
from resgrid.names import parse_network
from resgrid.training.curve import CurveRecorder
from resgrid.training.gradients import GradientRecorder
from resgrid.training.launch import cluster_environment
from resgrid.training.module import Classifier
from resgrid.training.process import Process, prepare_process
from resgrid.training.schedule import LearningRate
from resgrid.training.sync_batchnorm import make_batchnorm_global
from resgrid.training.trace import TraceRecorder


@dataclass(frozen=True, eq=False)
class Training:
    """The parts of one cell's training.

    Attributes:
        cell: the cell to train.
        config: its parameters.
        process: how this process computes.
        module: network, images, optimizer and learning rate.
        curve: callback that records the training curve.
        gradients: callback that records gradient norms.
        trace: callback that records digests of the state, and anchors.
        trainer: Lightning's loop, with these callbacks.
    """

    cell: Cell
    config: TrainParams
    process: Process
    module: Classifier
    curve: CurveRecorder
    gradients: GradientRecorder
    trace: TraceRecorder
    trainer: pl.Trainer

    def attach(self, callback: pl.Callback) -> None:
        """Add a callback, to be called after all others."""
        self.trainer.callbacks.append(callback)  # pyright: ignore[reportAttributeAccessIssue]


def build_training(cell: Cell, config: TrainParams, card: DatasetCard, workers: int) -> Training:
    """Set the process-wide state of torch and Lightning, and build a cell's training from the prepared data.

    Args:
        workers: processes per device that decode image files.

    Raises:
        ValueError: the parameters do not fit this machine or the images, the processes were started wrongly, a rank has
            no image of a split, or the prepared data are missing or damaged.
    """
    process = prepare_process(config.train, cell.seed)  # it also seeds the initial weights
    module = _build_module(cell, config, card, process, workers)
    curve = CurveRecorder(len(module.train_images) / config.train.batch_size)
    gradients = GradientRecorder(config.train.max_steps)
    train = config.train
    trace = TraceRecorder(module.learning_rate, train.max_steps, train.val_every, train.anchors)
    trainer = _build_trainer(train, process, [curve, gradients, trace])
    return Training(cell, config, process, module, curve, gradients, trace, trainer)


def _build_module(cell: Cell, config: TrainParams, card: DatasetCard, process: Process, workers: int) -> Classifier:
    height, width = card.shape[1:]
    if config.augment.pad >= min(height, width):
        raise ValueError(
            f"augment.pad: {config.augment.pad}: reaches across images of {height}×{width} pixels; choose a smaller pad"
        )
    network = build_network(cell.network, len(card.classes), card.shape[0])
    if config.train.sync_batchnorm and process.world_size > 1 and choose_accelerator() == "cpu":
        make_batchnorm_global(network)
    learning_rate = LearningRate(config.optimizer, config.schedule, parse_network(cell.network).depth)
    train_images, val_images = (
        load_images(PreparedPaths(), split, config.augment.normalize, card, workers) for split in ("train", "val")
    )
    for split, images in (("training", train_images), ("validation", val_images)):
        if len(images) < process.world_size:
            raise ValueError(
                f"train.devices × train.num_nodes: {process.world_size}: more ranks than {split} images, "
                f"{len(images)}; use fewer devices, or more images"
            )
    return Classifier(
        network, train_images, val_images, config.optimizer, learning_rate, config.train.compile, cell.seed
    )


def _build_trainer(config: TrainConfig, process: Process, callbacks: list[pl.Callback]) -> pl.Trainer:
    return pl.Trainer(
        accelerator=choose_accelerator(),
        devices=process.devices,
        num_nodes=process.num_nodes,
        strategy=_ddp() if process.world_size > 1 else "auto",
        plugins=cluster_environment(),
        precision="bf16-mixed" if process.precision == "bf16" else "32-true",
        max_steps=config.max_steps,
        max_epochs=-1,
        # The loader's length is max_steps, so Lightning sees a single epoch with validations inside.
        val_check_interval=config.val_every,
        num_sanity_val_steps=0,
        inference_mode=False,  # the final measurement then computes as the validations do, on any backend
        use_distributed_sampler=False,
        sync_batchnorm=config.sync_batchnorm and choose_accelerator() == "gpu",
        benchmark=not config.deterministic,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
    )


def _ddp() -> DDPStrategy:
    """Return DDP without its copies of gradients, and without its broadcasts of buffers in each forward pass.

    Buffers change no gradient, and `Classifier` shares them before each validation. Ranks can thus validate different
    numbers of batches.
    """
    is_named_so = "forward_sync_buffers" in signature(DistributedDataParallel).parameters  # not yet in torch 2.11
    no_broadcasts: dict[str, Any] = {"forward_sync_buffers" if is_named_so else "broadcast_buffers": False}
    return DDPStrategy(gradient_as_bucket_view=True, static_graph=True, **no_broadcasts)
