"""What a plain training step costs besides arithmetic: the operations that Python starts, and copies of gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.cells import Cell
from resgrid.config.whole import load_config
from resgrid.models import build_network
from resgrid.training.build import build_training
from resgrid.training.fit import fit
from support.prepared_data import make_prepared_cell

CONFIG = load_config(
    Path(__file__).parents[2] / "presets/cifar10-jpeg.yaml",
    {
        "train.max_steps": 4,
        "train.val_every": 4,
        "train.batch_size": 4,
        "train.threads": 1,
        "train.precision": "32",
        "schedule.milestones": [],
    },
)
PLAIN_STEP = 2  # the third step: no gradients are recorded, nothing is validated


class Operations(TorchDispatchMode):
    """Counts operations, except those that only make another view of the same numbers for autograd."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.count += func.namespace == "aten" and func is not torch.ops.aten.detach.default
        return func(*args, **(kwargs or {}))


class Steps(pl.Callback):
    """Notes the operations of each step."""

    def __init__(self, operations: Operations) -> None:
        self.operations = operations
        self.counts: list[int] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.counts.append(self.operations.count)
        self.operations.count = 0


@pytest.mark.parametrize(
    ("network", "ceiling"),
    [
        ("plain20", 233),
        ("resnet20-A", 263),
        ("resnet20-B", 263),
        ("resnet56-A", 587),
        pytest.param("resnet110-A", 1073, marks=pytest.mark.slow),
    ],
)
def test_a_plain_step_starts_few_operations(
    network: str, ceiling: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU, the time of a step of these networks is the number of operations times the time to start one."""
    monkeypatch.chdir(tmp_path)
    make_prepared_cell()
    with Operations() as operations:
        training = build_training(Cell(network, 0), CONFIG, DatasetCard.read(PreparedPaths().card), workers=0)
        training.trainer.callbacks.remove(training.trace)  # pyright: ignore[reportAttributeAccessIssue]
        steps = Steps(operations)
        training.attach(steps)
        fit(training)
    assert steps.counts[PLAIN_STEP] <= ceiling


@pytest.mark.parametrize("network", ["plain8", "resnet8-B", "vgg11-cifar", "inception-cifar", "densenet7"])
def test_gradients_have_the_layout_of_their_weights(network: str) -> None:
    """Otherwise the optimizer would copy or compute them one by one."""
    module = build_network(network, 4).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    images = torch.rand(2, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    F.cross_entropy(module(images), torch.tensor([0, 1])).backward()
    for name, weight in module.named_parameters():
        assert weight.grad is not None
        assert weight.grad.stride() == weight.stride(), name
