"""The LightningModule: one step of training, one of validation, and what is counted in them."""

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
    """Trains a network on images that lie on the device, where the loaders hand over indices, or in files, where they
    hand over decoded pixels.

    Args:
        network: from images (b, C, H, W) to logits (b, classes).
        train_images: for training batches, and for the clean training error at the end.
        val_images: for validation.
        optimizer: SGD's numbers.
        learning_rate: by step.
        compile_network: run the network through `torch.compile`.
        seed: of the cell, for what the network itself draws.
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
        # Not registered as a module: the weights keep their names in checkpoints.
        self._compute = torch.compile(network) if compile_network else network.__call__
        self.train_images, self.val_images = train_images, val_images
        self.optimizer_config, self.learning_rate = optimizer, learning_rate
        self.seed = seed
        self.score_images: Literal["train", "val"] = "val"
        self.train_sums = Accumulator(torch.device("cpu"))
        self._window = Accumulator(torch.device("cpu"))
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
        # A resumed run has restored its sums already.
        self.train_sums.sums = self.train_sums.sums.to(self.device)
        self._window.sums = self._window.sums.to(self.device)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate.at(self.global_step)
        _generator_of(self.device).manual_seed(_draws_of_step(self.seed, self.global_step, self.global_rank))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        images, labels = self.train_images.augmented(batch)
        logits = self._compute(images).float()
        loss = F.cross_entropy(logits, labels)
        self.train_sums.add_sums(loss.detach() * len(labels), logits.detach(), labels)
        if self.learning_rate.warming_up:
            self._window.add_sums(loss.detach() * len(labels), logits.detach(), labels)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        warmup = self.learning_rate.warming_up
        if warmup and self.global_step % warmup.window == 0:
            self.learning_rate.observe_training(self.global_step, self._window.score().error)
            self._window = Accumulator(self.device)

    def on_validation_epoch_start(self) -> None:
        _share_batchnorm_statistics(self.network)
        self._val_sums = Accumulator(self.device)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        images, labels = (self.val_images if self.score_images == "val" else self.train_images).plain(batch)
        self._val_sums.add(self._compute(images), labels)

    def on_validation_epoch_end(self) -> None:
        self.val_score = self._val_sums.score()
        if self.trainer.state.fn == TrainerFn.FITTING:  # the clean scores at the end change no rate
            self.learning_rate.observe_validation(self.global_step, self.val_score.error)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["resgrid"] = {
            "learning_rate": self.learning_rate.state_dict(),
            "window": _summed_over_ranks(self._window),
            "train_sums": _summed_over_ranks(self.train_sums),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["resgrid"]
        self.learning_rate.load_state_dict(state["learning_rate"])
        # The sums of all ranks go on in the first one.
        share = 1.0 if self.trainer.is_global_zero else 0.0
        self._window.sums = state["window"] * share
        self.train_sums.sums = state["train_sums"] * share


def _draws_of_step(seed: int, step: int, rank: int) -> int:
    """The seed of what a network draws in a step: dropout, stochastic depth.

    So a resumed run draws what an uninterrupted one does. Ranks draw apart, since they hold different images: on
    another number of devices such a network trains with other masks, where one without them sees the same batches.
    """
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0])


def _generator_of(device: torch.device) -> torch.Generator:
    """The one that a network on this device draws from; `torch.manual_seed` seeds them all, at 0.2 ms a step."""
    return torch.cuda.default_generators[device.index] if device.type == "cuda" else torch.default_generator


def _summed_over_ranks(tally: Accumulator) -> Tensor:
    sums = tally.sums.clone()
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(sums)
    return sums.cpu()


def _share_batchnorm_statistics(network: nn.Module) -> None:
    """Give all ranks the running statistics of the first, whose network is the one that is saved.

    DDP does so before each training step; without it here, each rank would validate a slightly different network.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, src=0)
