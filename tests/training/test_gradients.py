"""Recorded gradient norms and update ratios against autograd by hand."""

import csv
import io
import logging
import warnings
from collections.abc import Iterator

import pytest
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resgrid.training.gradients import GradientRecorder, layer_weights

IMAGES = torch.linspace(-1, 1, 5 * 4 * 16).reshape(5, 4, 1, 4, 4)  # five steps of four images
LABELS = torch.tensor([0, 1, 1, 0])


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2), nn.Linear(2, 2)
    )


def make_optimizer(network: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)


class Steps:
    """A loader that yields the images of each step."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Tensor]:
        yield from IMAGES[: self.steps]


class Trained(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = small_network()

    def training_step(self, images: Tensor, batch_idx: int) -> Tensor:
        return F.cross_entropy(self.network(images), LABELS)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return make_optimizer(self.network)


def record(steps: int, recorder: GradientRecorder | None) -> tuple[Trained, GradientRecorder | None]:
    module = Trained()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[recorder] if recorder else [],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about workers and loggers
        trainer.fit(module, Steps(steps))
    return module, recorder


@pytest.fixture(scope="module")
def by_hand() -> list[tuple[int, int, str, float, float]]:
    """Each layer's gradient norm and update ratio in each of five steps, from a plain loop."""
    network = small_network()
    optimizer = make_optimizer(network)
    rows: list[tuple[int, int, str, float, float]] = []
    for step, images in enumerate(IMAGES, start=1):
        optimizer.zero_grad()
        F.cross_entropy(network(images), LABELS).backward()
        weights = {
            name: weight for name, weight in network.named_parameters() if name in ("0.weight", "4.weight", "5.weight")
        }
        before = {name: weight.detach().clone() for name, weight in weights.items()}
        optimizer.step()
        for index, (name, weight) in enumerate(weights.items(), start=1):
            assert weight.grad is not None
            ratio = (weight.detach() - before[name]).norm() / before[name].norm()
            rows.append((step, index, name.removesuffix(".weight"), weight.grad.norm().item(), ratio.item()))
    return rows


def test_the_first_the_middle_and_the_last_step_are_as_by_hand(
    by_hand: list[tuple[int, int, str, float, float]],
) -> None:
    _, recorder = record(5, GradientRecorder(5))
    assert recorder is not None
    expected = [row for row in by_hand if row[0] in (1, 3, 5)]
    assert [row[:3] for row in recorder.rows] == [row[:3] for row in expected]
    for ours, theirs in zip(recorder.rows, expected, strict=True):
        assert ours[3:] == pytest.approx(theirs[3:], rel=1e-5)


@pytest.mark.parametrize(("max_steps", "steps"), [(1, {1}), (2, {1, 2}), (3, {1, 2, 3}), (420, {1, 210, 420})])
def test_which_steps_are_recorded(max_steps: int, steps: set[int]) -> None:
    assert GradientRecorder(max_steps).steps == steps


def test_recording_changes_no_weight() -> None:
    watched, _ = record(5, GradientRecorder(5))
    alone, _ = record(5, None)
    for name, value in watched.state_dict().items():
        assert torch.equal(value, alone.state_dict()[name]), name


def test_a_resumed_recorder_keeps_its_rows() -> None:
    _, recorder = record(5, GradientRecorder(5))
    assert recorder is not None
    resumed = GradientRecorder(5)
    resumed.load_state_dict(recorder.state_dict())
    assert resumed.csv() == recorder.csv()
    (header, *rows) = csv.reader(io.StringIO(resumed.csv().decode()))
    assert header == ["step", "index", "layer", "gradient_norm", "update_ratio"]
    assert len(rows) == 9


def test_weighted_layers_are_convolutions_and_linear_layers() -> None:
    assert list(layer_weights(small_network())) == ["0", "4", "5"]
