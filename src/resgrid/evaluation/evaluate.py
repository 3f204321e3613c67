"""Evaluation of a trained cell: compute all results on the test split, write them, then track them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from resgrid.artifacts.cell_files import CellPaths, Complexity, TestMetrics
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.files import write_atomically
from resgrid.cells import Cell
from resgrid.config.augment import AugmentConfig
from resgrid.config.evaluate import EvaluateConfig
from resgrid.data.reading.images import load_images
from resgrid.evaluation.analyses import ANALYSES, Subject
from resgrid.evaluation.metrics import measure
from resgrid.evaluation.sampling import Batches
from resgrid.evaluation.views import compute_logits
from resgrid.hardware import choose_device, compute_exactly, explain_exhausted_memory
from resgrid.models import build_network
from resgrid.models.complexity import count_network
from resgrid.sources.manifest import Manifest
from resgrid.terminal import console
from resgrid.tracking.cells import track_evaluation
from resgrid.tracking.records import StageClock


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation.

    Attributes:
        metrics: also in `files`.
        files: contents by file name below `runs/<cell>`.
    """

    metrics: TestMetrics
    files: dict[str, bytes]


@explain_exhausted_memory()
def evaluate_cell(cell: Cell, config: EvaluateConfig, augment: AugmentConfig, workers: int, manifest: Manifest) -> None:
    """Evaluate a cell's final and validation-selected weights in fp32 on one device; write `runs/<cell>`.

    Args:
        workers: processes that decode image files.
        manifest: what `sources/evaluate/<network>.json` says of the code and packages, checked.

    Raises:
        OSError: the cell's files or the prepared data are missing, or an output can't be written.
        ValueError: the prepared data contradict themselves, or no usable GPU has the memory.
    """
    clock = StageClock(manifest)
    compute_exactly(config.threads)
    card, paths = DatasetCard.read(PreparedPaths().card), CellPaths(cell)
    with clock.computing():
        evaluation = compute_evaluation(paths, card, config, augment, workers)
    for name, content in evaluation.files.items():
        write_atomically(paths.root / name, content)
    record = clock.record(devices=1, threads=config.threads, precision="32")
    track_evaluation(paths, card.label, record)
    metrics = evaluation.metrics
    console.print(f"{cell.name}: test error {metrics.test_error:.2f} % of {metrics.images} images", markup=False)


def compute_evaluation(
    paths: CellPaths, card: DatasetCard, config: EvaluateConfig, augment: AugmentConfig, workers: int
) -> Evaluation:
    """Compute the results of the cell's weights on the prepared data."""
    device = choose_device()
    test, train = (
        load_images(PreparedPaths(), split, augment.normalize, card, workers).to(device) for split in ("test", "train")
    )
    network, selected = (
        load_network(paths.cell.network, weights, card, device) for weights in (paths.weights, paths.selected)
    )
    logits = compute_logits(network, test, config)
    metrics = measure(logits, compute_logits(selected, test, config), test.labels.cpu(), card.classes)
    complexity = count_network(paths.cell.network, card.shape, len(card.classes))
    subject = Subject(
        name=paths.cell.name,
        network=network,
        logits=logits,
        train=Batches(train, config.batch_size, config.response_images),
        test=Batches(test, config.batch_size, config.lesion_images),
        classes=card.classes,
    )
    files = {
        paths.logits.name: _npy_bytes(logits),
        paths.evaluation.name: metrics.to_bytes(),
        paths.complexity.name: Complexity.model_validate(complexity.totals()).to_bytes(),
    }
    return Evaluation(metrics, files | {name: analyze(subject) for name, analyze in ANALYSES.items()})


def load_network(name: str, weights: Path, card: DatasetCard, device: torch.device) -> nn.Module:
    """Build a network in evaluation mode with the weights of a file.

    Raises:
        OSError: the file can't be read.
    """
    try:
        state = safetensors.torch.load_file(weights)
    except FileNotFoundError:
        raise FileNotFoundError(f"{weights}: does not exist; train the cell first, with `make run`") from None
    network = build_network(name, len(card.classes), card.shape[0])
    network.load_state_dict(state)
    return network.to(device, memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]


def _npy_bytes(array: Tensor) -> bytes:
    content = io.BytesIO()
    np.save(content, array.numpy())
    return content.getvalue()
