"""Testing one trained cell: error, loss, per-class errors, confusion, and the logits for later ensembles."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resgrid.artifacts.cell_files import CellPaths, Complexity, TestMetrics, TrainMetrics
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.files import csv_bytes, write_atomically
from resgrid.artifacts.run_record import RunRecord, StageRecord, record_path
from resgrid.cells import Cell
from resgrid.config.augment import AugmentConfig
from resgrid.config.evaluate import EvaluateConfig
from resgrid.data.reading.images import load_images
from resgrid.evaluation.analyses import activation_maps_png, blocks_csv, responses_csv
from resgrid.evaluation.figures import draw_blocks, draw_confusion, draw_curve, draw_gradients, draw_responses
from resgrid.evaluation.sampling import Batches
from resgrid.evaluation.views import compute_logits
from resgrid.hardware import compute_exactly, describe_hardware
from resgrid.models import build_network
from resgrid.models.complexity import count_network
from resgrid.terminal import console
from resgrid.tracking import Run, start_run
from resgrid.tracking.lineage import current_commit, host_name, versions

# Of few classes five are many: the field gives the top-5 error for CIFAR-100 and ImageNet.
TOP5_CLASSES = 100


def evaluate_cell(cell: Cell, config: EvaluateConfig, augment: AugmentConfig, workers: int) -> None:
    """Test a cell's final weights, and its validation-selected ones, look into the final network, and write the
    results under `runs/<cell>`.

    Always computed in fp32 on one device.

    Args:
        workers: processes that decode image files.

    Raises:
        OSError: the cell's files or the prepared data are missing, or an out can't be written.
        ValueError: the prepared data contradict themselves.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    compute_exactly(config.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    paths, prepared = CellPaths(cell), PreparedPaths()
    card, trained = DatasetCard.read(prepared.card), TrainMetrics.read(paths.metrics)
    test = load_images(prepared, "test", augment.normalize, card, workers).to(device)
    train = load_images(prepared, "train", augment.normalize, card, workers).to(device)
    train_sample = Batches(train, config.batch_size, config.response_images)
    lesion_sample = Batches(test, config.batch_size, config.lesion_images)

    network = load_network(cell, paths.weights, card, device)
    logits = compute_logits(network, test, config)
    selected_logits = compute_logits(load_network(cell, paths.selected, card, device), test, config)
    labels = test.labels.cpu()
    metrics = measure(logits, selected_logits, labels, card.classes)
    write_atomically(paths.logits, _npy(logits))
    write_atomically(paths.confusion, confusion_csv(logits, labels, card.classes))
    write_atomically(paths.responses, responses_csv(network, train_sample))
    write_atomically(paths.blocks, blocks_csv(network, train_sample, lesion_sample))
    write_atomically(paths.activation_maps, activation_maps_png(network, test, card.classes, cell.name))
    metrics.write(paths.evaluation)
    complexity = count_network(cell.network, card.shape, len(card.classes))
    Complexity.model_validate(complexity.totals()).write(paths.complexity)

    record = StageRecord(
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - clock, 1),
        images_per_second=None,
        resumed_from=[],
        commit=current_commit(),
        host=host_name(),
        hardware=describe_hardware(),
        devices=1,
        threads=config.threads,
        precision="32",
        versions=versions(),
    )
    run = _record_and_open_run(cell, trained, card, record)
    _track(run, metrics, trained, paths)
    console.print(f"{cell.name}: test error {metrics.test_error:.2f} % of {metrics.images} images", markup=False)


def load_network(cell: Cell, weights: Path, card: DatasetCard, device: torch.device) -> nn.Module:
    """The cell's network with the weights of a file, in evaluation mode."""
    network = build_network(cell.network, len(card.classes), card.shape[0])
    network.load_state_dict(safetensors.torch.load_file(weights))
    return network.to(device, memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]


def measure(logits: Tensor, selected_logits: Tensor, labels: Tensor, classes: list[str]) -> TestMetrics:
    """The test results from logits (N, classes) of the final and the selected weights, and labels (N,)."""
    wrong = logits.argmax(dim=1) != labels
    per_class = {
        name: 100 * wrong[labels == index].double().mean().item() if (labels == index).any() else float("nan")
        for index, name in enumerate(classes)
    }
    return TestMetrics(
        test_loss=F.cross_entropy(logits.double(), labels).item(),
        test_error=100 * wrong.double().mean().item(),
        selected_test_error=100 * (selected_logits.argmax(dim=1) != labels).double().mean().item(),
        per_class_error=per_class,
        images=len(labels),
        test_top5_error=_top5_error(logits, labels) if len(classes) >= TOP5_CLASSES else None,
    )


def _top5_error(logits: Tensor, labels: Tensor) -> float:
    """Percent of the images whose class is not among the five with the largest logits."""
    among_five = (logits.topk(5, dim=1).indices == labels[:, None]).any(dim=1)
    return 100 * (~among_five).double().mean().item()


def confusion_csv(logits: Tensor, labels: Tensor, classes: list[str]) -> bytes:
    """`actual,predicted` by class name, a row for each image: what DVC's confusion plots read."""
    pairs = zip(labels.tolist(), logits.argmax(dim=1).tolist(), strict=True)
    return csv_bytes(("actual", "predicted"), ((classes[actual], classes[predicted]) for actual, predicted in pairs))


def _npy(array: Tensor) -> bytes:
    content = io.BytesIO()
    np.save(content, array.numpy())
    return content.getvalue()


def _record_and_open_run(cell: Cell, trained: TrainMetrics, card: DatasetCard, stage_record: StageRecord) -> Run:
    """Go on with the run of the training; where its record isn't here (restored from a cache), begin a new one."""
    path = record_path(cell, trained.fingerprint)
    record = RunRecord.read(path) if path.exists() else None
    run = start_run(cell.name, card.label, record.run_id if record else None)
    RunRecord(
        cell=cell.name,
        fingerprint=trained.fingerprint,
        run_id=run.run_id,
        tracking_uri=run.tracking_uri,
        train=record.train if record else None,
        evaluate=stage_record,
    ).write(path)
    return run


def _track(run: Run, metrics: TestMetrics, trained: TrainMetrics, paths: CellPaths) -> None:
    run.log_metrics(
        trained.steps,
        {
            "final/train_error": trained.train_error,
            "final/val_error": trained.val_error,
            "final/test_error": metrics.test_error,
            "final/test_loss": metrics.test_loss,
            **({} if metrics.test_top5_error is None else {"final/test_top5_error": metrics.test_top5_error}),
            "selected/val_error": trained.selected_val_error,
            "selected/test_error": metrics.selected_test_error,
        },
    )
    for path in (paths.metrics, paths.evaluation, paths.curve, paths.gradients, paths.responses, paths.blocks):
        run.log_file(path)
    for draw, path in (
        (draw_curve, paths.curve),
        (draw_confusion, paths.confusion),
        (draw_gradients, paths.gradients),
        (draw_responses, paths.responses),
        (draw_blocks, paths.blocks),
    ):
        picture = draw(path)
        if picture is not None:
            run.log_figure(f"{path.stem}.png", picture)
    run.log_figure(paths.activation_maps.name, paths.activation_maps.read_bytes())
    run.set_tags({"mlflow.note.content": f"test error {metrics.test_error:.2f} %"})
    run.finish()
