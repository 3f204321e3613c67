"""A program for test_ranks.py: train on the devices of params.yaml, and write what the first rank saw of DDP."""

import json
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch.nn.parallel import DistributedDataParallel

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.cells import Cell
from resgrid.config.whole import load_config
from resgrid.training.build import build_training
from resgrid.training.fit import fit, score


class Watch(pl.Callback):
    """Notes whether DDP copies buffers and gradients, and whether gradients have the layout of their weights."""

    def __init__(self) -> None:
        self.seen: dict[str, list[bool]] = {"syncs buffers": [], "gradients are views": [], "same strides": []}

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        ddp = trainer.strategy.model
        assert isinstance(ddp, DistributedDataParallel)
        self.seen["syncs buffers"].append(ddp.will_sync_module_buffers())
        pairs = [(weight, weight.grad) for weight in pl_module.parameters()]
        self.seen["gradients are views"].append(all(grad is not None and grad._is_view() for _, grad in pairs))
        self.seen["same strides"].append(all(w.stride() == g.stride() for w, g in pairs if g is not None))


if __name__ == "__main__":
    card, config = DatasetCard.read(PreparedPaths().card), load_config()
    training = build_training(Cell("resnet8-B", 0), config, card, workers=0)
    watch = Watch()
    training.attach(watch)
    fit(training)
    measured = score(training, "val")
    if training.trainer.is_global_zero:
        Path("seen.json").write_text(json.dumps(watch.seen | {"images": measured.images}))
