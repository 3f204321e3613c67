"""The file formats of exports: for each, how a trained cell is written, and how the file is run to check it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from resgrid.artifacts.data_card import DatasetCard
from resgrid.cells import Cell
from resgrid.data.reading.normalization import Normalization
from resgrid.exchange.weights import load_weights
from resgrid.exchange.weights_file import read_weights_file
from resgrid.models import build_network

Format = Literal["onnx", "torchscript", "torch-export", "safetensors", "mlflow"]


class PixelsToLogits(nn.Module):
    """A network with its normalization before it.

    Args:
        network: from normalized images to logits.
        normalization: of pixels scaled to [0, 1].
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, normalization: Normalization) -> None:
        super().__init__()
        self.network = network
        std = np.ones(1) if normalization.std is None else normalization.std
        self.register_buffer("mean", torch.from_numpy(normalization.mean.astype(np.float32)))
        self.register_buffer("scale", torch.from_numpy((1.0 / std).astype(np.float32)))

    def forward(self, images: Tensor) -> Tensor:
        """Map pixels (N, C, H, W), uint8 from 0 to 255, to logits (N, classes), float32."""
        return self.network((images.float() / 255.0 - self.mean) * self.scale)


class CheckedPixels(nn.Module):
    """A model that raises a `RuntimeError` for images that are not whole numbers from 0 to 255.

    MLflow's server converts JSON's numbers to the type of the model's signature: with uint8, it would truncate pixels
    that were scaled to [0, 1] to zeros. So the signature is float32, and the model checks what was sent.
    """

    def __init__(self, model: PixelsToLogits) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Map pixels (N, C, H, W), whole numbers in float32, to logits (N, classes), float32."""
        whole = ((images >= 0) & (images <= 255) & (images == images.round())).all()
        # An operation, because torch.export drops Python's own checks of values.
        torch.ops.aten._assert_async.msg(whole, "images: not pixels; send whole numbers from 0 to 255")
        return self.model(images)


@dataclass(frozen=True)
class TrainedCell:
    """A trained cell with what its exports are checked against.

    Attributes:
        cell: its network and seed.
        card: of its data.
        fingerprint: of the cell.
        normalization: the one that it was trained with.
        model: from pixels to logits, in evaluation mode, on the CPU.
        images: uint8 (N, C, H, W), test images.
        logits: float32 (N, classes), the network's logits for these images.
    """

    cell: Cell
    card: DatasetCard
    fingerprint: str
    normalization: Normalization
    model: PixelsToLogits
    images: np.ndarray
    logits: np.ndarray

    @property
    def example(self) -> tuple[Tensor]:
        """Two images: with one image, exporters take the batch size for a constant."""
        return (torch.from_numpy(self.images[:2]),)


@dataclass(frozen=True)
class FileFormat:
    """How a trained cell becomes a file, and how that file is run.

    Attributes:
        suffix: of the file's name.
        write: writes a cell to a path.
        run: gives the logits of a file of that cell for images.
    """

    suffix: str
    write: Callable[[TrainedCell, Path], None]
    run: Callable[[TrainedCell, Path, np.ndarray], np.ndarray]


def require_packages(form: Format) -> None:
    """Check that the packages that a format needs are installed.

    Raises:
        ValueError: packages are missing; the message gives the command that installs them.
    """
    needed = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "mlflow": ("mlflow",)}.get(form, ())
    missing = [package for package in needed if importlib.util.find_spec(package) is None]
    if missing:
        extra = ".[export]" if form == "onnx" else "."
        raise ValueError(f"format: {form}: needs {', '.join(missing)}; run: python -m pip install -e '{extra}'")


def _write_onnx(trained: TrainedCell, path: Path) -> None:
    program = torch.onnx.export(
        trained.model,
        trained.example,
        dynamo=True,
        verbose=False,
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    assert program is not None
    program.save(path, external_data=False)


def _run_onnx(_trained: TrainedCell, path: Path, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["logits"], {"images": images})[0])


def _write_torchscript(trained: TrainedCell, path: Path) -> None:
    script = torch.jit.trace(trained.model, trained.example)
    torch.jit.save(torch.jit.freeze(script), path)  # pyright: ignore[reportArgumentType]


def _run_torchscript(_trained: TrainedCell, path: Path, images: np.ndarray) -> np.ndarray:
    return torch.jit.load(path, map_location="cpu")(torch.from_numpy(images)).numpy()


def _write_torch_export(trained: TrainedCell, path: Path) -> None:
    batch = torch.export.Dim("batch")
    torch.export.save(torch.export.export(trained.model, trained.example, dynamic_shapes=({0: batch},)), path)


def _run_torch_export(_trained: TrainedCell, path: Path, images: np.ndarray) -> np.ndarray:
    return torch.export.load(path).module()(torch.from_numpy(images)).numpy()


def _write_safetensors(trained: TrainedCell, path: Path) -> None:
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


def _run_safetensors(trained: TrainedCell, path: Path, images: np.ndarray) -> np.ndarray:
    network = build_network(trained.cell.network, len(trained.card.classes), trained.card.shape[0])
    file = read_weights_file(path)
    load_weights(network, file)
    assert file.normalization is not None
    return PixelsToLogits(network, file.normalization).eval()(torch.from_numpy(images)).numpy()


FILE_FORMATS: dict[Format, FileFormat] = {
    "onnx": FileFormat(".onnx", _write_onnx, _run_onnx),
    "torchscript": FileFormat(".torchscript.pt", _write_torchscript, _run_torchscript),
    "torch-export": FileFormat(".pt2", _write_torch_export, _run_torch_export),
    "safetensors": FileFormat(".safetensors", _write_safetensors, _run_safetensors),
}
