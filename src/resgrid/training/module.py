"""The LightningModule of a training: one optimizer step, one validation step, and their running sums.

One training step, for a rank with b images of C×H×W pixels and K classes:

    what happens                                values                        where
    batch of (seed, step): crops, flips         int64 (b,) (b, 2), bool (b,)  data/reading/batches.py
    set the step's learning rate                float                         training/schedule.py
    seed the network's random numbers           int of (seed, step, rank)     `_step_seed`
    gather, crop, flip, normalize the images    float32 (b, C, H, W)          data/reading/device_images.py
    logits ← network(images)                    float32 (b, K)                models/build.py
    loss ← mean cross entropy                   float32 ()                    `training_step`
    add loss and errors to the running sums     float64 (3,)                  training/accumulator.py
    backward pass; DDP averages over ranks      float32, as the weights       Lightning
    record gradient norms (at three steps)      float64, one per layer        training/gradients.py
    SGD: weight decay, momentum, update         float32, as the weights       `configure_optimizers`
    validate, add a row to the curve            every `val_every` steps       training/curve.py
    save a checkpoint (before the next step)    every `checkpoint_every`      training/resume.py

Image files are decoded by worker processes first: uint8 (b, H, W, 3), data/reading/file_images.py.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
import torch.distributed
import torch.nn.functional as F
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn

from resgrid.config.train import OptimizerConfig
from resgrid.data.reading.images import Images
from resgrid.training.accumulator import Accumulator, Score
from resgrid.training.schedule import LearningRate


class Classifier(pl.LightningModule):
    """Trains a network to classify images.

    Args:
        network: maps images (b, C, H, W) to logits (b, K).
        train_images: images for training, and for the training error of the final weights.
        val_images: images for validation.
        optimizer: parameters of SGD.
        learning_rate: learning rate by step.
        compile_network: compile the network with `torch.compile`.
        seed: the cell's seed, for random numbers that the network draws.
    """

    def __init__(
        self,
        network: nn.Module,
        train_images: Images,
        val_images: Images,
        optimizer: OptimizerConfig,
        learning_rate: LearningRate,
        compile_network: bool,
        seed: int,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if compile_network:
            self.network.compile()  # in place: a compiled copy would double the names in checkpoints
        self.train_images, self.val_images = train_images, val_images
        self.optimizer_config, self.learning_rate = optimizer, learning_rate
        self.seed = seed
        self.score_images: Literal["train", "val"] = "val"
        self.train_sums = Accumulator(torch.device("cpu"))
        self._warmup_sums = Accumulator(torch.device("cpu"))
        self._val_sums = Accumulator(torch.device("cpu"))
        self.val_score: Score | None = None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        config = self.optimizer_config
        return torch.optim.SGD(
            self.network.parameters(),
            lr=self.learning_rate.at(0),
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            foreach=True,
        )

    def setup(self, stage: str) -> None:
        self.train_images.to(self.device)
        self.val_images.to(self.device)

    def on_fit_start(self) -> None:
        # Not new sums: a resumed run has restored its sums already.
        self.train_sums.sums = self.train_sums.sums.to(self.device)
        self._warmup_sums.sums = self._warmup_sums.sums.to(self.device)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate.at(self.global_step)
        _generator_of(self.device).manual_seed(_step_seed(self.seed, self.global_step, self.global_rank))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = self.train_images.augmented(batch)
        logits = self.network(images).float()
        loss = F.cross_entropy(logits, labels)
        self.train_sums.add_sums(loss.detach() * len(labels), logits.detach(), labels)
        if self.learning_rate.warming_up:
            self._warmup_sums.add_sums(loss.detach() * len(labels), logits.detach(), labels)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        warmup = self.learning_rate.warming_up
        if warmup and self.global_step % warmup.window == 0:
            self.learning_rate.observe_training(self.global_step, self._warmup_sums.score().error)
            self._warmup_sums = Accumulator(self.device)

    def on_validation_epoch_start(self) -> None:
        _share_batchnorm_statistics(self.network)
        self._val_sums = Accumulator(self.device)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        images, labels = (self.val_images if self.score_images == "val" else self.train_images).plain(batch)
        self._val_sums.add(self.network(images), labels)

    def on_validation_epoch_end(self) -> None:
        self.val_score = self._val_sums.score()
        if self.trainer.state.fn == TrainerFn.FITTING:  # the final measurement changes no learning rate
            self.learning_rate.observe_validation(self.global_step, self.val_score.error)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["resgrid"] = {
            "learning_rate": self.learning_rate.state_dict(),
            "warmup_sums": _sum_over_ranks(self._warmup_sums),
            "train_sums": _sum_over_ranks(self.train_sums),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["resgrid"]
        self.learning_rate.load_state_dict(state["learning_rate"])
        # The first rank continues the sums of all ranks; the other ranks start at zero.
        share = 1.0 if self.trainer.is_global_zero else 0.0
        self._warmup_sums.sums = state["warmup_sums"] * share
        self.train_sums.sums = state["train_sums"] * share


def _step_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of a step's random operations in the network, such as dropout and stochastic depth.

    A resumed run thus draws the same random numbers as an uninterrupted run. The rank is part of the seed because
    ranks have different images; the masks of such a network therefore depend on the number of devices.
    """
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0])


def _generator_of(device: torch.device) -> torch.Generator:
    """Return the default generator of a device. `torch.manual_seed` would seed all devices, at 0.2 ms a step."""
    return torch.cuda.default_generators[device.index] if device.type == "cuda" else torch.default_generator


def _sum_over_ranks(accumulator: Accumulator) -> Tensor:
    sums = accumulator.sums.clone()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(sums)
    return sums.cpu()


def _share_batchnorm_statistics(network: nn.Module) -> None:
    """Copy the first rank's running statistics to all ranks, because the first rank's network is saved.

    Without this copy, each rank would validate a slightly different network.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, src=0)
