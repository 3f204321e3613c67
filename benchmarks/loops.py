"""The loops that are compared: the product's training loop, and the bare loop that bounds it."""

from __future__ import annotations

from contextlib import suppress

import torch
import torch.nn.functional as F

from benchmarks.timing import WARM_STEPS, Stopwatch, StretchOverError, now
from resgrid.artifacts.data_card import DatasetCard
from resgrid.cells import Cell
from resgrid.config.whole import Config
from resgrid.training.build import Training, build_training
from resgrid.training.fit import fit
from resgrid.training.progress import ProgressLine
from resgrid.training.resume import Checkpoints, SaveForResuming


def build_product(network: str, config: Config, card: DatasetCard) -> Training:
    """Build the product's training of a network with seed 0, without tracking, checkpoints and a progress line."""
    return build_training(Cell(network, 0), config, card, config.machine.workers)


class ProductLoop:
    """The product's training, with its module, loader, callbacks and trainer, but without a run in MLflow.

    Args:
        network: name of the network.
        config: content of a `params.yaml`.
        card: card of the prepared data in the working folder.
    """

    def __init__(self, network: str, config: Config, card: DatasetCard) -> None:
        self.network, self.config, self.card = network, config, card

    def __call__(self, steps: int) -> float:
        training = build_product(self.network, self.config, self.card)
        train = self.config.train
        checkpoints = Checkpoints.of(training.cell, "benchmark", training.process.conditions())
        training.attach(SaveForResuming(checkpoints, self.config.machine.checkpoint_every))
        training.attach(ProgressLine(training.cell.name, train.max_steps, train.batch_size, training.curve))
        return time_training(training, steps)


def time_training(training: Training, steps: int) -> float:
    """Return the seconds of a number of steps of a new training, which ends after them."""
    stopwatch = Stopwatch(steps)
    training.attach(stopwatch)
    with suppress(StretchOverError):
        fit(training)
    return stopwatch.seconds


class BareLoop:
    """The bound: the same network, precision, loss and optimizer on a single batch that is ready on the device.

    Args:
        network: name of the network.
        config: the product's configuration; the module is built in the same way.
        card: card of the prepared data in the working folder.
        layout: layout of images and weights: the product's `channels_last`, or the usual `contiguous_format`.
    """

    def __init__(
        self,
        network: str,
        config: Config,
        card: DatasetCard,
        layout: torch.memory_format = torch.channels_last,
    ) -> None:
        self.network, self.config, self.card, self.layout = network, config, card, layout

    def __call__(self, steps: int) -> float:
        training = build_product(self.network, self.config, self.card)
        device = training.trainer.strategy.root_device
        module = training.module.to(device)
        network = module.network.to(memory_format=self.layout)  # pyright: ignore[reportCallIssue]
        images, labels = module.train_images.to(device).plain(torch.arange(self.config.train.batch_size, device=device))
        images = images.contiguous(memory_format=self.layout)
        optimizer = module.configure_optimizers()

        def step() -> None:
            with torch.autocast(device.type, torch.bfloat16, enabled=training.process.precision == "bf16"):
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
