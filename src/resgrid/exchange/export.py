"""From a trained cell to something that other programs run: ONNX, TorchScript, torch.export, safetensors, MLflow.

What is exported takes pixels as they are, uint8 (N, C, H, W) from 0 to 255, and gives logits, float32 (N, classes):
the normalization is part of it. Only safetensors holds weights alone, with the normalization in its header.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from resgrid.artifacts.cell_files import CellPaths, TrainMetrics
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.files import write_atomically
from resgrid.artifacts.run_record import RunRecord, record_path
from resgrid.cells import Cell
from resgrid.data.reading.device_images import DeviceImages
from resgrid.data.reading.normalization import Normalization, NormalizeKind, read_normalization
from resgrid.data.reading.store import open_split
from resgrid.exchange.state_dicts import read_metadata
from resgrid.models import build_network, load_weights
from resgrid.terminal import console

Format = Literal["onnx", "torchscript", "torch-export", "safetensors", "mlflow"]
EXPORTS = Path("exports")
CHECKED_IMAGES = 256
TOLERANCE = 1e-5


class PixelsToLogits(nn.Module):
    """A network with its normalization before it."""

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, normalization: Normalization) -> None:
        super().__init__()
        self.network = network
        std = np.ones(1) if normalization.std is None else normalization.std
        self.register_buffer("mean", torch.from_numpy(normalization.mean.astype(np.float32)))
        self.register_buffer("scale", torch.from_numpy((1.0 / std).astype(np.float32)))

    def forward(self, images: Tensor) -> Tensor:
        """Pixels (N, C, H, W) from 0 to 255, uint8, to logits (N, classes), float32."""
        return self.network((images.float() / 255.0 - self.mean) * self.scale)


@dataclass(frozen=True)
class Trained:
    """A trained cell, ready for export, and what the export is checked with.

    Attributes:
        cell: which.
        card: of its data.
        fingerprint: of the cell.
        normalization: that it was trained with.
        model: from pixels to logits, in evaluation mode, on the CPU.
        images: uint8 (N, C, H, W), real test images.
        logits: float32 (N, classes), what the network gives for them as it is evaluated.
    """

    cell: Cell
    card: DatasetCard
    fingerprint: str
    normalization: Normalization
    model: PixelsToLogits
    images: np.ndarray
    logits: np.ndarray


def export_cell(cell: Cell, form: Format, normalize: NormalizeKind, register_as: str | None) -> None:
    """Export a cell's final weights, and check the result on real test images: one alone, and all at once.

    Args:
        form: `onnx`, `torchscript`, `torch-export` or `safetensors` for a file under `exports/`; `mlflow` for a model
            with a signature in the cell's MLflow run.
        normalize: what the cell was trained with.
        register_as: the name of a model in MLflow's registry of which this becomes a version.

    Raises:
        OSError: the cell isn't trained, or the file can't be written.
        ValueError: a package is missing, the cell and the data don't belong together, or what was exported computes
            something else.
    """
    if register_as is not None and form != "mlflow":
        raise ValueError(
            f"register: {register_as!r}: models are registered from MLflow; allowed is it with mlflow only"
        )
    require_packages(form)
    trained = open_trained(cell, normalize)
    place = _log_to_mlflow(trained, register_as) if form == "mlflow" else _write_file(trained, *WRITERS[form])
    shape = "×".join(map(str, trained.card.shape))
    takes = f"weights for images of {shape}, normalized" if form == "safetensors" else f"pixels, uint8 (N×{shape})"
    console.print(
        f"{place}: {takes}, to {len(trained.card.classes)} logits; checked on {len(trained.images)} test images "
        f"of {trained.card.label}, one alone and all at once; normalization: {trained.normalization.words}",
        markup=False,
    )


def require_packages(form: Format) -> None:
    """Raise a `ValueError` that says how to install what a format needs, if it isn't there."""
    needed = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "mlflow": ("mlflow",)}.get(form, ())
    missing = [package for package in needed if importlib.util.find_spec(package) is None]
    if missing:
        extra = ".[export]" if form == "onnx" else "."
        raise ValueError(
            f"format {form} needs {', '.join(missing)}, not installed here: python -m pip install -e '{extra}'"
        )


def open_trained(cell: Cell, normalize: NormalizeKind) -> Trained:
    """Read a cell's final weights, and let its network compute the logits that an export must give.

    Raises:
        OSError: the cell isn't trained, or the data aren't prepared.
        ValueError: weights, data and normalization give other logits than those of the cell's evaluation.
    """
    paths, prepared = CellPaths(cell), PreparedPaths()
    card, metrics = DatasetCard.read(prepared.card), TrainMetrics.read(paths.metrics)
    network = build_network(cell.network, len(card.classes), card.shape[0])
    load_weights(network, paths.weights)
    normalization = read_normalization(prepared, normalize, card)
    test = open_split(prepared, "test")
    images, labels = (np.array(part[:CHECKED_IMAGES]) for part in (test.images, test.labels))
    with torch.inference_mode():
        normalized, _ = DeviceImages(images, labels, normalization.mean, normalization.std).plain(
            torch.arange(len(images))
        )
        logits = network.eval()(normalized).numpy()
    if paths.logits.exists():
        recorded = np.load(paths.logits, allow_pickle=False)[: len(images)]
        # Evaluated elsewhere, perhaps: on other hardware rounding differs, a wrong normalization differs in all digits.
        if recorded.shape != logits.shape or _distance(logits, recorded) > 0.01:
            raise ValueError(
                f"{cell.name}: weights, prepared data and augment.normalize: {normalize} give other logits than "
                f"{paths.logits}; they belong to different runs: run `dvc repro`"
            )
    model = PixelsToLogits(network, normalization).eval()
    return Trained(cell, card, metrics.fingerprint, normalization, model, images, logits)


def _write_file(trained: Trained, suffix: str, write: Writer, run: Runner) -> Path:
    """Write a file, check it, and only then put it in its place."""
    target = EXPORTS / f"{trained.cell.name}{suffix}"
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
        # Of the exporters: they speak to those who develop them, and TorchScript's of its successor.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        draft = Path(folder) / target.name
        write(trained, draft)
        _check(trained, str(target), lambda images: run(trained, draft, images))
        write_atomically(target, draft.read_bytes())
    return target


def _log_to_mlflow(trained: Trained, register_as: str | None) -> str:
    """Log the model to the run of the training, and check what MLflow loads again."""
    from resgrid.tracking.models import load_model, log_model  # mlflow takes two seconds to import

    record = record_path(trained.cell, trained.fingerprint)
    run_id = RunRecord.read(record).run_id if record.exists() else None
    if run_id is None:
        raise ValueError(
            f"{trained.cell.name}: no MLflow run of this cell is recorded here; evaluate it again, which begins one: "
            f"dvc repro --single-item --force evaluate@{trained.cell.name}"
        )
    requirements = [f"torch=={version('torch').partition('+')[0]}", f"numpy=={version('numpy')}"]
    place = log_model(run_id, trained.model, trained.images[:2], trained.logits[:2], requirements, register_as)
    _check(trained, place, load_model(place))
    return place


def _check(trained: Trained, place: str, compute: Callable[[np.ndarray], np.ndarray]) -> None:
    for images, expected in ((trained.images, trained.logits), (trained.images[:1], trained.logits[:1])):
        distance = _distance(compute(images), expected)
        if not distance <= TOLERANCE:
            raise ValueError(
                f"{place}: not exported: for {len(images)} test images its logits differ by {distance:.1e} of the "
                f"largest logit from the network's; allowed is {TOLERANCE}"
            )


def _distance(logits: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, as a share of the largest logit (at least 1)."""
    return float(np.abs(logits - expected).max() / max(1.0, np.abs(expected).max()))


def _example(trained: Trained) -> tuple[Tensor]:
    """Two images: of one, exporters take the batch's size for a constant."""
    return (torch.from_numpy(trained.images[:2]),)


def _write_onnx(trained: Trained, path: Path) -> None:
    program = torch.onnx.export(
        trained.model,
        _example(trained),
        dynamo=True,
        verbose=False,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    assert program is not None
    program.save(path, external_data=False)


def _run_onnx(_trained: Trained, path: Path, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], {"images": images})[0])


def _write_torchscript(trained: Trained, path: Path) -> None:
    script = torch.jit.trace(trained.model, _example(trained))
    torch.jit.save(torch.jit.freeze(script), path)  # pyright: ignore[reportArgumentType]


def _run_torchscript(_trained: Trained, path: Path, images: np.ndarray) -> np.ndarray:
    return torch.jit.load(path, map_location="cpu")(torch.from_numpy(images)).numpy()


def _write_torch_export(trained: Trained, path: Path) -> None:
    batch = torch.export.Dim("batch")
    torch.export.save(torch.export.export(trained.model, _example(trained), dynamic_shapes=({0: batch},)), path)


def _run_torch_export(_trained: Trained, path: Path, images: np.ndarray) -> np.ndarray:
    return torch.export.load(path).module()(torch.from_numpy(images)).numpy()


def _write_safetensors(trained: Trained, path: Path) -> None:
    header = {
        "network": trained.cell.network,
        "seed": str(trained.cell.seed),
        "data": trained.card.label,
        "shape": json.dumps(trained.card.shape),
        "classes": json.dumps(trained.card.classes, ensure_ascii=False),
        "normalization": trained.normalization.to_header(),
        "fingerprint": trained.fingerprint,
    }
    path.write_bytes(safetensors.torch.save(trained.model.network.state_dict(), header))


def _run_safetensors(trained: Trained, path: Path, images: np.ndarray) -> np.ndarray:
    network = build_network(trained.cell.network, len(trained.card.classes), trained.card.shape[0])
    load_weights(network, path)
    normalization = Normalization.from_header(read_metadata(path)["normalization"], path)
    return PixelsToLogits(network, normalization).eval()(torch.from_numpy(images)).numpy()


Writer = Callable[[Trained, Path], None]
Runner = Callable[[Trained, Path, np.ndarray], np.ndarray]

# File name's end, how it is written, how it is run.
WRITERS: dict[Format, tuple[str, Writer, Runner]] = {
    "onnx": (".onnx", _write_onnx, _run_onnx),
    "torchscript": (".torchscript.pt", _write_torchscript, _run_torchscript),
    "torch-export": (".pt2", _write_torch_export, _run_torch_export),
    "safetensors": (".safetensors", _write_safetensors, _run_safetensors),
}
