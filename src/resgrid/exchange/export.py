"""Exports a trained cell for other programs: ONNX, TorchScript, torch.export, safetensors, MLflow.

Exports map pixels, uint8 (N, C, H, W) from 0 to 255, to logits, float32 (N, classes): they contain the normalization.
Only safetensors files contain the weights alone, with the normalization in their header.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from resgrid.artifacts.cell_files import CellPaths, TrainMetrics
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.files import write_atomically
from resgrid.artifacts.run_record import RunRecord, record_path
from resgrid.cells import Cell
from resgrid.config.evaluate import Views
from resgrid.data.reading.images import open_images
from resgrid.data.reading.normalization import NormalizeKind, read_normalization
from resgrid.evaluation.views import single_view_logits
from resgrid.exchange.export_formats import (
    FILE_FORMATS,
    CheckedPixels,
    Format,
    PixelsToLogits,
    TrainedCell,
    require_packages,
)
from resgrid.exchange.weights import load_weights
from resgrid.models import build_network
from resgrid.terminal import console

EXPORTS = Path("exports")
CHECKED_IMAGES = 256
# Largest difference of an export's logits, relative to the largest logit.
TOLERANCE = 1e-5
# The same for logits that may have been computed on other hardware. A wrong normalization differs by far more.
TOLERANCE_TO_EVALUATION = 0.01


def export_cell(cell: Cell, form: Format, normalize: NormalizeKind, views: Views, register_as: str | None) -> None:
    """Export a cell's final weights, and check the export on test images: one alone, and many at once.

    Args:
        form: a file format for a file below `exports/`, or `mlflow` for a model with a signature in the cell's MLflow
            run.
        normalize: the normalization that the cell was trained with.
        views: the views of an image that the cell's evaluation averaged.
        register_as: name of a model in MLflow's registry; the export becomes a version of it.

    Raises:
        OSError: the cell is not trained, or the file can't be written.
        ValueError: a package is missing, the cell and the data don't belong together, or the export has other logits.
    """
    if register_as is not None and form != "mlflow":
        raise ValueError(f"register: {register_as!r}: only MLflow models can be registered; use --format mlflow")
    require_packages(form)
    trained = open_trained(cell, normalize, views)
    if form == "mlflow":
        _log_to_mlflow(trained, register_as)
    else:
        _write_file(trained, form)


def open_trained(cell: Cell, normalize: NormalizeKind, views: Views) -> TrainedCell:
    """Open a trained cell, and compute the logits that its exports must have.

    Raises:
        OSError: the cell is not trained, or there are no prepared data.
        ValueError: weights, data and normalization give other logits than the cell's evaluation.
    """
    paths, prepared = CellPaths(cell), PreparedPaths()
    card, metrics = DatasetCard.read(prepared.card), TrainMetrics.read(paths.metrics)
    network = build_network(cell.network, len(card.classes), card.shape[0])
    load_weights(network, paths.weights)
    normalization = read_normalization(prepared, normalize, card)
    test = open_images(prepared, "test", normalization, card)
    indices = torch.arange(min(CHECKED_IMAGES, len(test)))
    logits = single_view_logits(network.eval(), [test.plain(indices)[0]]).numpy()
    if views == "single" and paths.logits.exists():
        recorded = np.load(paths.logits, allow_pickle=False)[: len(logits)]
        if recorded.shape != logits.shape or _distance(logits, recorded) > TOLERANCE_TO_EVALUATION:
            raise ValueError(
                f"{cell.name}: weights, prepared data and augment.normalize: {normalize} give other logits than "
                f"{paths.logits}, so they are of different runs; run `dvc repro`"
            )
    model = PixelsToLogits(network, normalization).eval()
    return TrainedCell(cell, card, metrics.fingerprint, normalization, model, test.pixels(indices), logits)


def _write_file(trained: TrainedCell, form: Format) -> None:
    """Write a file elsewhere, check it, and then move it to its place."""
    file_format = FILE_FORMATS[form]
    target = EXPORTS / f"{trained.cell.name}{file_format.suffix}"
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
        # The exporters' messages are for their developers.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        draft = Path(folder) / target.name
        file_format.write(trained, draft)
        _check(trained, str(target), lambda images: file_format.run(trained, draft, images))
        write_atomically(target, draft.read_bytes())
    shape = _shape_text(trained)
    takes = f"weights for images of {shape}, normalized" if form == "safetensors" else f"pixels, uint8 (N×{shape})"
    _print_export(trained, str(target), takes)


def _log_to_mlflow(trained: TrainedCell, register_as: str | None) -> None:
    """Log the model to the cell's run, check what MLflow loads, and print how to serve it."""
    from resgrid.tracking.models import load_model, log_model, serve_command  # mlflow takes two seconds to import

    run_id = run_of(trained)
    requirements = [f"torch=={version('torch').partition('+')[0]}", f"numpy=={version('numpy')}"]
    model, example = CheckedPixels(trained.model).eval(), trained.images[:2].astype(np.float32)
    uri = log_model(run_id, model, example, trained.logits[:2], requirements, register_as)
    compute = load_model(uri)
    _check(trained, uri, lambda images: compute(images.astype(np.float32)))
    _print_export(trained, uri, f"pixels, whole numbers from 0 to 255 in float32 (N×{_shape_text(trained)})")
    console.print(f"Serve it with: {serve_command(uri)}")


def run_of(trained: TrainedCell) -> str:
    """Return the id of a cell's run in MLflow.

    Raises:
        ValueError: no run is recorded.
    """
    record = record_path(trained.cell, trained.fingerprint)
    run_id = RunRecord.read(record).run_id if record.exists() else None
    if run_id is None:
        raise ValueError(
            f"{trained.cell.name}: no MLflow run of this cell is recorded here; evaluate the cell again, which starts "
            f"a run: dvc repro --single-item --force evaluate@{trained.cell.name}"
        )
    return run_id


def _print_export(trained: TrainedCell, location: str, takes: str) -> None:
    console.print(
        f"{location}: {takes}, to {len(trained.card.classes)} logits; checked on {len(trained.images)} test images "
        f"of {trained.card.label}, one alone and all at once; normalization: {trained.normalization.words}"
    )


def _shape_text(trained: TrainedCell) -> str:
    return "×".join(map(str, trained.card.shape))


def _check(trained: TrainedCell, location: str, compute: Callable[[np.ndarray], np.ndarray]) -> None:
    for images, expected in ((trained.images, trained.logits), (trained.images[:1], trained.logits[:1])):
        distance = _distance(compute(images), expected)
        if not distance <= TOLERANCE:
            raise ValueError(
                f"{location}: not exported: for {len(images)} test images, the export's logits differ by "
                f"{distance:.1e} of the largest logit; the limit is {TOLERANCE}"
            )


def _distance(logits: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest logit (at least 1)."""
    return float(np.abs(logits - expected).max() / max(1.0, np.abs(expected).max()))
