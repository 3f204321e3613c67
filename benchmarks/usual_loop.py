"""The training loop of most tutorials: PIL transforms in loader workers, fp32, metrics logged at each step."""

from __future__ import annotations

import logging
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from PIL import Image
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchmetrics.classification import MulticlassAccuracy
from torchvision import transforms

from benchmarks.synthetic import NUM_CLASSES
from benchmarks.timing import WARM_STEPS, Stopwatch, StretchOverError
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.config.whole import Config
from resgrid.data.reading.store import open_split
from resgrid.hardware import choose_accelerator
from resgrid.models import build_network

WORKERS = 2
LOG_EVERY = 10


class _PilImages(Dataset[tuple[Tensor, int]]):
    """Arrays in memory that become PIL images one by one, as in torchvision's CIFAR10.

    The images repeat up to `length`, so that no epoch ends in a timed stretch.
    """

    def __init__(self, card: DatasetCard, length: int) -> None:
        split = open_split(PreparedPaths(), "train")
        self.images, self.labels = np.ascontiguousarray(split.images.transpose(0, 2, 3, 1)), split.labels
        self.length = length
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(card.shape[1:], padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(card.channel_mean, card.channel_std),
            ]
        )

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        row = index % len(self.labels)
        image: Any = self.transform(Image.fromarray(self.images[row]))
        return image, int(self.labels[row])


class _UsualModule(pl.LightningModule):
    def __init__(self, network: str, config: Config) -> None:
        super().__init__()
        self.network, self.optimizer_config = build_network(network, NUM_CLASSES), config.optimizer
        self.accuracy = MulticlassAccuracy(NUM_CLASSES)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        images, labels = batch
        logits = self.network(images)
        loss = F.cross_entropy(logits, labels)
        self.accuracy(logits, labels)
        self.log("train/loss", loss, on_step=True, on_epoch=True)
        self.log("train/accuracy", self.accuracy, on_step=True, on_epoch=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        config = self.optimizer_config
        return torch.optim.SGD(
            self.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )


class UsualLoop:
    """The usual loop as a contender, without a progress bar, which makes it slightly faster.

    Args:
        network: name of the network.
        config: configuration with batch size, threads and optimizer.
        card: card of the prepared data in the working folder.
    """

    def __init__(self, network: str, config: Config, card: DatasetCard) -> None:
        self.network, self.config, self.card = network, config, card

    def __call__(self, steps: int) -> float:
        _restore_defaults(self.config.train.threads)
        batch_size = self.config.train.batch_size
        loader = DataLoader(
            _PilImages(self.card, 2 * (WARM_STEPS + steps) * batch_size),
            batch_size=batch_size,
            shuffle=True,
            num_workers=WORKERS,
            pin_memory=torch.cuda.is_available(),
        )
        stopwatch = Stopwatch(steps)
        trainer = _trainer(stopwatch)
        with suppress(StretchOverError):
            trainer.fit(_UsualModule(self.network, self.config), loader)
        return stopwatch.seconds


def _trainer(stopwatch: Stopwatch) -> pl.Trainer:
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval")
    return pl.Trainer(
        accelerator=choose_accelerator(),
        devices=1,
        max_epochs=1,
        log_every_n_steps=LOG_EVERY,
        deterministic=False,
        logger=CSVLogger(Path("usual")),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[stopwatch],
    )


def _restore_defaults(threads: int) -> None:
    """Restore torch's own global settings; the product sets its settings again at its next turn."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = True
