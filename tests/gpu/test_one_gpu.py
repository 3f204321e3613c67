"""What one GPU must do, with the project's own training and evaluation; needs neither mlflow nor dvc nor ray."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import pytorch_lightning as pl
import safetensors.torch
import torch
import torch.nn.functional as F

from resgrid.artifacts.cell_files import CellPaths
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.cells import Cell
from resgrid.config.augment import AugmentConfig, CropConfig
from resgrid.config.evaluate import EvaluateConfig
from resgrid.config.whole import load_config
from resgrid.data.reading.batches import BatchPlan
from resgrid.data.reading.images import load_images
from resgrid.evaluation.evaluate import compute_evaluation
from resgrid.hardware import choose_device, compute_exactly, exact_fp32
from resgrid.models import build_network
from resgrid.training.build import Training, build_training
from resgrid.training.curve import snapshot
from resgrid.training.fit import fit, score
from resgrid.training.resume import Checkpoints, SaveForResuming
from support.prepared_data import make_prepared_cell

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("default"),  # older packages warn of other things
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch can use no GPU here"),
]

STEPS = 20
FAMILIES = (
    *("plain8", "resnet8-A", "resnet8-B-preact", "resnet11-B-bottleneck", "resnet18-imagenet-A", "vgg11-cifar"),
    *("inception-cifar", "densenet10-bc", "alexnet", "torchvision-squeezenet1_1", "torchvision-googlenet"),
)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Prepare 20 images per split, and restore torch's process-wide state afterwards."""
    monkeypatch.chdir(tmp_path)
    make_prepared_cell()
    tf32 = torch.backends.cudnn.allow_tf32
    yield
    torch.cuda.set_sync_debug_mode("default")
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.allow_tf32 = tf32


def build(network: str = "resnet8-A", **train: Any) -> Training:
    changes = {"max_steps": STEPS, "val_every": 10, "batch_size": 8, "threads": 1, "precision": "32"} | train
    config = load_config(
        Path(__file__).parents[2] / "presets/cifar10-jpeg.yaml",
        {"schedule.milestones": []} | {f"train.{name}": value for name, value in changes.items()},
    )
    return build_training(Cell(network, 0), config, DatasetCard.read(PreparedPaths().card), workers=0)


def weights_after_fit(training: Training, checkpoint: Path | None = None) -> bytes:
    fit(training, checkpoint)
    return safetensors.torch.save(snapshot(training.module))


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_twenty_steps_train_each_weight(precision: Literal["32", "bf16"], deterministic: bool) -> None:
    training = build(precision=precision, deterministic=deterministic)
    before = {name: weight.detach().cpu().clone() for name, weight in training.module.network.named_parameters()}
    fit(training)
    assert training.trainer.strategy.root_device.type == "cuda"
    after = dict(training.module.network.named_parameters())
    assert all(torch.isfinite(weight).all() for weight in after.values())
    assert all(not torch.equal(before[name], weight.detach().cpu()) for name, weight in after.items())
    assert score(training, "val").images == 20


@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("network", ["resnet8-A", "torchvision-squeezenet1_1"])
def test_a_cell_twice_and_resumed_has_the_same_bytes(network: str, precision: Literal["32", "bf16"]) -> None:
    checkpoints = Checkpoints(Path("checkpoints"), conditions={})
    first = build(network, precision=precision)
    first.attach(SaveForResuming(checkpoints, every=13))
    weights = weights_after_fit(first)
    checkpoint, unusable = checkpoints.latest()
    assert checkpoint is not None
    assert unusable == []
    assert weights_after_fit(build(network, precision=precision)) == weights
    assert weights_after_fit(build(network, precision=precision), checkpoint) == weights


@pytest.mark.parametrize("network", FAMILIES)
def test_each_family_has_deterministic_gradients(network: str) -> None:
    compute_exactly(threads=1)
    device = choose_device()
    gradients: list[bytes] = []
    for _ in range(2):
        torch.manual_seed(0)
        module = build_network(network, 4).to(device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        images = torch.rand(4, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
        F.cross_entropy(module(images), torch.arange(4, device=device)).backward()
        grads = {
            name: weight.grad.cpu().contiguous()
            for name, weight in module.named_parameters()
            if weight.grad is not None
        }
        assert all(torch.isfinite(gradient).all() for gradient in grads.values())
        gradients.append(safetensors.torch.save(grads))
    assert gradients[0] == gradients[1]


class NoWaits(pl.Callback):
    """Makes torch raise an error where the host waits for the GPU in the step after the given steps done."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        torch.cuda.set_sync_debug_mode("error" if trainer.global_step == self.step else "default")


def test_a_plain_step_waits_for_nothing() -> None:
    training = build(max_steps=100, val_every=100)
    training.attach(NoWaits(30))  # neither traced nor a step whose gradients are recorded
    fit(training)
    assert training.trainer.global_step == 100


def test_augmentation_is_that_of_the_cpu() -> None:
    card = DatasetCard.read(PreparedPaths().card)
    cpu, gpu = (load_images(PreparedPaths(), "train", "per_pixel_mean", card) for _ in range(2))
    batch = BatchPlan(len(cpu), 16, seed=0, pad=4, flip=True).batch(3, 0, 1)
    expected, labels = cpu.augmented(batch)
    device = choose_device()
    images, found = gpu.to(device).augmented(type(batch)(*(part.to(device) for part in batch)))
    # The GPU multiplies by 1 / 255 where the CPU divides.
    torch.testing.assert_close(images.cpu(), expected, atol=1e-6, rtol=0)
    assert torch.equal(found.cpu(), labels)


@pytest.mark.parametrize("prepare", [lambda: compute_exactly(threads=1), exact_fp32])
def test_fp32_is_not_tf32(prepare: Any) -> None:
    """Training and evaluation call the first function, `evaluate-weights` the second."""
    torch.backends.cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("high")
    prepare()
    generator = torch.Generator().manual_seed(0)
    images, weights = (torch.randn(shape, generator=generator) for shape in ((8, 64, 16, 16), (64, 64, 3, 3)))
    matrix = torch.randn(256, 256, generator=generator)
    device = choose_device()
    for found, exact in (
        (F.conv2d(images.to(device), weights.to(device)), F.conv2d(images.double(), weights.double())),
        (matrix.to(device) @ matrix.to(device), matrix.double() @ matrix.double()),
    ):
        assert (found.cpu().double() - exact).abs().max() / exact.abs().max() < 1e-5


def test_evaluation_files_are_those_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = CellPaths(Cell("resnet8-A", 0))
    shutil.copy(paths.weights, paths.selected)
    card = DatasetCard.read(PreparedPaths().card)
    config = EvaluateConfig(batch_size=7, threads=1)
    augment = AugmentConfig(normalize="per_pixel_mean", pad=4, flip=True)
    compute_exactly(threads=1)
    gpu = compute_evaluation(paths, card, config, augment, workers=0)
    monkeypatch.setattr("resgrid.evaluation.evaluate.choose_device", lambda: torch.device("cpu"))
    cpu = compute_evaluation(paths, card, config, augment, workers=0)
    assert gpu.files.keys() == cpu.files.keys()
    assert gpu.metrics.test_error == cpu.metrics.test_error
    assert gpu.metrics.test_loss == pytest.approx(cpu.metrics.test_loss, rel=1e-4)
    assert gpu.files["confusion.csv"] == cpu.files["confusion.csv"]
    assert gpu.files["complexity.json"] == cpu.files["complexity.json"]


def test_a_compiled_network_trains_under_the_same_names() -> None:
    training = build(compile=True, max_steps=4, val_every=4)
    names = list(build().module.state_dict())
    fit(training)
    assert list(training.module.state_dict()) == names
    assert all(torch.isfinite(weight).all() for weight in training.module.network.parameters())


def test_decoded_files_are_in_pinned_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "files").mkdir()
    monkeypatch.chdir(tmp_path / "files")
    make_prepared_cell("files")
    card = DatasetCard.read(PreparedPaths().card)
    images = load_images(PreparedPaths(), "train", "channel", card, workers=1)
    augment = AugmentConfig(normalize="channel", pad=0, flip=True, crop=CropConfig(shorter_side=[16, 20]))
    batches = images.training_loader(4, 0, augment, 2, lambda: 0, 0, 1)
    assert all(batch.pixels.is_pinned() for batch in batches)


def test_four_cells_fit_into_the_memory() -> None:
    """ResNet-110 with batches of 128 images of 32×32 pixels, as in the paper."""
    generator = np.random.default_rng(0)
    for split in ("train", "val"):
        np.save(PreparedPaths().images(split), generator.integers(0, 256, (256, 3, 32, 32), dtype=np.uint8))
        np.save(PreparedPaths().labels(split), generator.integers(0, 4, 256))
    np.save(PreparedPaths().mean_image, np.full((3, 32, 32), 0.5, dtype=np.float32))
    card = DatasetCard.read(PreparedPaths().card).model_copy(update={"shape": (3, 32, 32)})
    card.write(PreparedPaths().card)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    fit(build("resnet110-A", max_steps=4, val_every=4, batch_size=128))
    assert 4 * torch.cuda.max_memory_reserved() < torch.cuda.get_device_properties().total_memory
