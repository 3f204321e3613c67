"""Training, validation and evaluation on fake CUDA tensors: devices, copies and waits, on a machine without a GPU."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytorch_lightning as pl
import torch
import torch.distributed

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.cells import Cell
from resgrid.config.whole import load_config
from resgrid.evaluation.activation_maps import class_activation_maps
from resgrid.evaluation.blocks import find_blocks
from resgrid.evaluation.lesion import lesion_errors
from resgrid.evaluation.responses import layer_responses, residual_ratios
from resgrid.evaluation.sampling import Batches
from resgrid.evaluation.views import compute_logits
from resgrid.training.build import Training, build_training
from resgrid.training.fit import fit, score
from resgrid.training.resume import CHECK_EVERY, Checkpoints, SaveForResuming
from support.fake_cuda import GPU, Watch, fake_gpu, without_autograd, without_backward
from support.prepared_data import make_prepared_cell

CONFIG = load_config(
    Path(__file__).parents[2] / "presets/cifar10-jpeg.yaml",
    {"train.max_steps": 4, "train.val_every": 4, "train.batch_size": 4, "train.threads": 1, "schedule.milestones": []},
)
PLAIN_STEP = 2  # the third step: no gradients are recorded, nothing is validated


class Steps(pl.Callback):
    """Notes the copies and waits of each step, and the waits of the last validation."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.to_gpu: list[list[str]] = []
        self.waits: list[list[str]] = []
        self.waits_of_validation: list[str] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.to_gpu.append(list(self.watch.to_gpu))
        self.waits.append(list(self.watch.waits))
        self.watch.forget()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.waits_of_validation = list(self.watch.waits)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_prepared_cell()


def build(network: str, precision: str = "32") -> Training:
    """Build a training without a trace: digests need values."""
    train = CONFIG.train.model_copy(update={"precision": precision})
    config = CONFIG.model_copy(update={"train": train})
    training = build_training(Cell(network, 0), config, DatasetCard.read(PreparedPaths().card), workers=0)
    training.trainer.callbacks.remove(training.trace)  # pyright: ignore[reportAttributeAccessIssue]
    return training


@pytest.mark.parametrize(
    ("network", "precision"),
    [
        ("plain8", "32"),
        ("resnet8-A", "bf16"),
        ("resnet11-B-bottleneck", "32"),
        ("vgg11-cifar", "32"),
        ("inception-cifar", "32"),
        ("densenet7", "bf16"),
        ("torchvision-squeezenet1_1", "32"),
        pytest.param("resnet18-imagenet-A", "32", marks=pytest.mark.slow),
        pytest.param("alexnet", "32", marks=pytest.mark.slow),
    ],
)
def test_a_step_copies_its_batch_and_waits_for_nothing(
    network: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_gpu(monkeypatch) as watch:
        training = build(network, precision)
        assert training.trainer.strategy.root_device == GPU
        without_backward(monkeypatch, training.module)
        steps = Steps(watch)
        training.attach(steps)
        fit(training)
        assert training.trainer.global_step == 4
        assert len(steps.to_gpu[PLAIN_STEP]) <= 3, steps.to_gpu[PLAIN_STEP]
        assert steps.waits[PLAIN_STEP] == []
        assert steps.waits[0] != []  # gradients are recorded, so the watch does see waits

        watch.forget()
        score(training, "val")
        assert {line.partition(":")[0] for line in steps.waits_of_validation} == {"accumulator.py"}


@pytest.mark.parametrize("network", ["plain8", "resnet8-B", "densenet7"])
def test_evaluation_stays_on_the_gpu(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_gpu(monkeypatch):
        module = build(network).module
        module.to(GPU)
        test, trained = module.val_images.to(GPU), module.network.eval()
        assert compute_logits(trained, test, CONFIG.evaluate).shape == (20, 4)
        batches = Batches(test, 7)
        assert layer_responses(trained, batches)
        blocks = find_blocks(trained, next(iter(batches))[0][:2])
        assert len(residual_ratios(trained, blocks, batches)) == len(blocks)
        assert len(lesion_errors(trained, blocks, batches)[1]) == len(blocks)
        without_autograd(monkeypatch)
        predicted, maps = class_activation_maps(trained, test.plain(torch.arange(3))[0])
        assert predicted.device == maps.device == GPU


def test_ranks_exchange_tensors_on_their_own_device_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """NCCL can't exchange tensors of the CPU."""
    devices: list[torch.device] = []

    def note(tensor: torch.Tensor, *_: Any, **__: Any) -> None:
        devices.append(tensor.device)

    with fake_gpu(monkeypatch):
        training = build("resnet8-A")
        without_backward(monkeypatch, training.module)
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_backend", lambda: "nccl")
        for exchange in ("all_reduce", "broadcast"):
            monkeypatch.setattr(torch.distributed, exchange, note)
        fit(training)
        score(training, "train")
        checkpoint: dict[str, Any] = {}
        training.module.on_save_checkpoint(checkpoint)
        saving = SaveForResuming(Checkpoints(Path("checkpoints"), conditions={}), every=1000)
        strategy = SimpleNamespace(root_device=GPU)
        ranks = SimpleNamespace(world_size=2, global_step=CHECK_EVERY, strategy=strategy)
        saving._terminate_on_any_rank(cast("pl.Trainer", ranks))
    assert len(devices) > 40  # of the buffers before each validation, of sums, of the request to terminate
    assert set(devices) == {GPU}
