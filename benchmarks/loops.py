"""The contenders: the product's training loop, the bare loop that bounds it, and the loop that most people write."""

from __future__ import annotations

from contextlib import suppress

import torch
import torch.nn.functional as F

from benchmarks.timing import WARM_STEPS, Stopwatch, StretchOverError, now
from resgrid.artifacts.data_card import DatasetCard
from resgrid.cells import Cell
from resgrid.config.whole import Config
from resgrid.tracking import Run, Untracked
from resgrid.training.fit import Training


class UntrackedTraining(Training):
    """The product's training of a cell, without a run in MLflow."""

    def _open_run(self) -> Run:
        return Untracked()


class ProductLoop:
    """The product as it trains: its module, loader, callbacks and trainer.

    Args:
        network: to train.
        config: as `params.yaml` would give it.
        card: of the prepared data in the working folder.
    """

    def __init__(self, network: str, config: Config, card: DatasetCard) -> None:
        self.cell, self.config, self.card = Cell(network, 0), config, card

    def __call__(self, steps: int) -> float:
        return time_training(
            UntrackedTraining(self.cell, self.config, self.config.machine, self.card, "benchmark"), steps
        )


def time_training(training: Training, steps: int) -> float:
    """Seconds for so many steps of a training that begins, which is ended after them."""
    stopwatch = Stopwatch(steps)
    training.trainer.callbacks.append(stopwatch)  # pyright: ignore[reportAttributeAccessIssue]
    with suppress(StretchOverError):
        training.fit()
    return stopwatch.seconds


class BareLoop:
    """The same network, precision, loss and optimizer on one ready batch again and again: what the hardware computes.

    Args:
        network: to train.
        config: the product's; its module is built the same way.
        card: of the prepared data in the working folder.
        layout: of images and weights: the product's `channels_last`, or the usual `contiguous_format`.
    """

    def __init__(
        self,
        network: str,
        config: Config,
        card: DatasetCard,
        layout: torch.memory_format = torch.channels_last,
    ) -> None:
        self.cell, self.config, self.card, self.layout = Cell(network, 0), config, card, layout

    def __call__(self, steps: int) -> float:
        training = UntrackedTraining(self.cell, self.config, self.config.machine, self.card, "benchmark")
        device = training.trainer.strategy.root_device
        module = training.module.to(device)
        network = module.network.to(memory_format=self.layout)  # pyright: ignore[reportCallIssue]
        images, labels = module.train_images.to(device).plain(torch.arange(self.config.train.batch_size, device=device))
        images = images.contiguous(memory_format=self.layout)
        optimizer = module.configure_optimizers()

        def step() -> None:
            with torch.autocast(device.type, torch.bfloat16, enabled=training.precision == "bf16"):
                logits = network(images)
            loss = F.cross_entropy(logits.float(), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        for _ in range(WARM_STEPS):
            step()
        began = now()
        for _ in range(steps):
            step()
        return now() - began
