"""Every kind of network trains, resumes and is evaluated from its file, with the project's own module and callbacks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import safetensors.torch
import torch

from resgrid.artifacts.data_card import DatasetCard
from resgrid.config.evaluate import EvaluateConfig
from resgrid.config.train import OptimizerConfig, ScheduleConfig
from resgrid.data.reading.batches import BatchPlan, EvaluationLoader, TrainLoader
from resgrid.data.reading.device_images import DeviceImages
from resgrid.evaluation.evaluate import load_network
from resgrid.evaluation.views import compute_logits
from resgrid.models import build_network
from resgrid.names import parse_network
from resgrid.training.curve import snapshot
from resgrid.training.module import Classifier
from resgrid.training.resume import Checkpoints, SaveForResuming
from resgrid.training.schedule import LearningRate

STEPS, BATCH, CLASSES = 20, 8, 3

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable"),
]


def gray_images(size: int) -> DeviceImages:
    """Make 16 noisy images of three classes that differ in brightness."""
    generator = np.random.default_rng(0)
    labels = np.arange(16) % CLASSES
    pixels = 60 * labels[:, None, None, None] + generator.integers(0, 60, size=(16, 1, size, size))
    return DeviceImages(pixels.astype(np.uint8), labels.astype(np.int64), np.full((1, 1, 1), 0.3), None)


def build_classifier(name: str, size: int = 8, compile_network: bool = False) -> Classifier:
    torch.manual_seed(0)
    network = build_network(name, CLASSES, in_channels=1)
    sgd = OptimizerConfig(lr=0.01, momentum=0.9, weight_decay=1e-4)
    rate = LearningRate(sgd, ScheduleConfig(milestones=[], gamma=0.1), parse_network(name).depth)
    images = gray_images(size)
    return Classifier(network, images, images, sgd, rate, compile_network, seed=0)


def train(
    module: Classifier, steps: int, callbacks: Sequence[pl.Callback] = (), checkpoint: Path | None = None
) -> pl.Trainer:
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=steps,
        max_epochs=-1,
        val_check_interval=steps,
        num_sanity_val_steps=0,
        deterministic=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
    )
    plan = BatchPlan(len(module.train_images), BATCH, seed=0, pad=1, flip=False)
    loader = TrainLoader(plan, steps, lambda: trainer.global_step, rank=0, world_size=1)
    evaluation = EvaluationLoader(len(module.val_images), BATCH)
    trainer.fit(module, loader, evaluation, ckpt_path=checkpoint, weights_only=True)
    assert trainer.global_step == steps
    return trainer


@pytest.mark.parametrize(
    "name",
    [
        "plain8",
        "resnet8-A",
        "resnet8-B",
        "resnet8-C",
        "resnet11-A-bottleneck",
        "resnet11-B-bottleneck-stride3x3",
        "resnet18-imagenet-A",
        "resnet8-A-latenorm",
        "resnet8-B-addnorm",
        "resnet8-A-nonorm",
        "resnet8-A-preact",
        "plain8-leaky",
        "plain8-sigmoid",
        "plain8-nonorm-sigmoid",
        "plain8-tanh",
        "inception-cifar",
        "densenet7",
        "densenet10-bc",
        "torchvision-squeezenet1_1",
        pytest.param("plain18-imagenet", marks=pytest.mark.slow),
        pytest.param("resnet18-imagenet-B-preact", marks=pytest.mark.slow),
        pytest.param("googlenet-cifar", marks=pytest.mark.slow),
        pytest.param("resnet50-imagenet-B", marks=pytest.mark.slow),
        pytest.param("vgg11-cifar", marks=pytest.mark.slow),
        pytest.param("vgg16-cifar", marks=pytest.mark.slow),
        pytest.param("densenet100-bc", marks=pytest.mark.slow),
        pytest.param("alexnet", marks=pytest.mark.slow),
        pytest.param("torchvision-googlenet", marks=pytest.mark.slow),
        pytest.param("torchvision-densenet121", marks=pytest.mark.slow),
        pytest.param("torchvision-inception_v3", marks=pytest.mark.slow),
    ],
)
def test_each_network_trains_and_is_tested_from_its_file(name: str, tmp_path: Path) -> None:
    module = build_classifier(name)
    before = snapshot(module)
    train(module, STEPS)
    after = snapshot(module)
    assert all(torch.isfinite(values).all() for values in after.values())
    trained = [key for key, _ in module.network.named_parameters()]
    assert all(not torch.equal(before[key], after[key]) for key in trained)

    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(safetensors.torch.save(after))
    images = gray_images(8)
    network = load_network(name, weights, card(), torch.device("cpu"))
    logits = compute_logits(network, images, EvaluateConfig(batch_size=BATCH, threads=1))
    assert logits.shape == (16, CLASSES)
    with torch.inference_mode():
        expected = module.network.eval()(images.plain(torch.arange(16))[0])
    assert torch.allclose(logits, expected, atol=1e-4)
    assert module.val_score is not None
    assert module.val_score.images == 16
    assert module.val_score.error == 100 * (logits.argmax(dim=1) != images.labels).double().mean().item()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet1202-A", "resnet152-imagenet-B", "torchvision-alexnet", "torchvision-vgg16_bn"]
)
def test_the_largest_networks_take_a_step(name: str) -> None:
    module = build_classifier(name)
    before = next(module.network.parameters()).detach().clone()
    train(module, 1)
    after = next(module.network.parameters())
    assert torch.isfinite(after).all()
    assert not torch.equal(before, after)


@pytest.mark.parametrize(
    "name", ["torchvision-squeezenet1_1", pytest.param("torchvision-mobilenet_v3_small", marks=pytest.mark.slow)]
)
def test_a_resumed_network_with_dropout_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, conditions={})
    whole = build_classifier(name)
    train(whole, STEPS, [SaveForResuming(checkpoints, every=13)])
    checkpoint, unusable = checkpoints.latest()
    assert checkpoint is not None
    assert unusable == []
    assert checkpoint.name == "step-00000013.ckpt"

    resumed = build_classifier(name)
    torch.manual_seed(123)  # as in another process, which has drawn other random numbers
    train(resumed, STEPS, [SaveForResuming(checkpoints, every=1000)], checkpoint)
    ours, theirs = snapshot(resumed), snapshot(whole)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_compiling_changes_no_name_in_checkpoints() -> None:
    compiled, eager = build_classifier("resnet8-A", compile_network=True), build_classifier("resnet8-A")
    assert list(compiled.state_dict()) == list(eager.state_dict())


def test_dropout_masks_differ_between_steps_and_between_seeds() -> None:
    """Two steps would have equal masks if each step used the same seed."""
    masks: list[torch.Tensor] = []
    for seed in (0, 1):
        module = build_classifier("torchvision-squeezenet1_1")
        module.seed = seed
        dropout = next(part for part in module.network.modules() if isinstance(part, torch.nn.Dropout))
        dropout.register_forward_hook(
            lambda part, _, output: masks.append(torch.eq(output, 0)) if part.training else None
        )
        train(module, 2)
    assert len(masks) == 4
    assert len({mask.numpy().tobytes() for mask in masks}) == 4


def card() -> DatasetCard:
    return DatasetCard(
        name="digits",
        label="Digits",
        note="",
        shape=(1, 8, 8),
        classes=["dark", "middle", "bright"],
        counts={},
        channel_mean=[0.3],
        channel_std=[1.0],
        sha256={},
    )
