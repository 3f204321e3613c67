"""A small prepared data set and a cell of known weights, made by hand: no stage has run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from resgrid.artifacts.cell_files import CellPaths, TrainMetrics
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.files import sha256_of_file, state_folder
from resgrid.cells import Cell
from resgrid.models import build_network

IMAGES_HASH = "a" * 64
CLASSES = ["cat", "dog", "emu", "fox"]


@dataclass(frozen=True)
class HandMade:
    """Test images uint8 (N, 3, 16, 16), labels (N,), the mean image, and the cell's logits for the test images."""

    cell: Cell
    images: np.ndarray
    labels: np.ndarray
    mean: np.ndarray
    logits: np.ndarray


def make_prepared_cell(storage: Literal["arrays", "files"] = "arrays") -> HandMade:
    """Write `data/prepared` and `runs/resnet8-A-0` (weights and metrics) below the working folder.

    Args:
        storage: of the images: arrays, or PNG files.
    """
    generator = np.random.default_rng(0)
    prepared, cell = PreparedPaths(), Cell("resnet8-A", 0)
    images = generator.integers(0, 256, (20, 3, 16, 16), dtype=np.uint8)
    labels = generator.integers(0, len(CLASSES), 20)
    mean = generator.random((3, 16, 16), dtype=np.float32)
    for split in ("train", "val", "test"):
        prepared.labels(split).parent.mkdir(parents=True)
        np.save(prepared.labels(split), labels)
        if storage == "arrays":
            np.save(prepared.images(split), images)
        else:
            _write_files(prepared, split, images)
    np.save(prepared.mean_image, mean)
    DatasetCard(
        name="imagefolder",
        label="Noise",
        note="",
        shape=(3, 16, 16),
        classes=CLASSES,
        counts=dict.fromkeys(("train", "val", "test"), 20),
        channel_mean=[0.5, 0.4, 0.3],
        channel_std=[0.2, 0.3, 0.4],
        sha256={},
        storage=storage,
        images=IMAGES_HASH,
        shorter_side=16,
        channel_covariance=[[0.0] * 3] * 3,
    ).write(prepared.card)

    torch.manual_seed(0)
    network = build_network(cell.network, len(CLASSES))
    normalized = torch.from_numpy(images / np.float32(255) - mean)
    network(normalized)  # batch norm has statistics of its own now
    paths = CellPaths(cell)
    paths.root.mkdir(parents=True)
    safetensors.torch.save_file(network.state_dict(), paths.weights)
    TrainMetrics(
        network=cell.network,
        seed=cell.seed,
        parameters=1,
        steps=1,
        epochs=1,
        train_loss=1,
        train_error=1,
        val_loss=1,
        val_error=1,
        selected_step=1,
        selected_val_error=1,
        precision="32",
        fingerprint="f" * 64,
    ).write(paths.metrics)
    with torch.inference_mode():
        return HandMade(cell, images, labels, mean, network.eval()(normalized).numpy())


def _write_files(prepared: PreparedPaths, split: str, images: np.ndarray) -> None:
    folder = state_folder() / "images" / IMAGES_HASH[:16]
    names = [f"{split}/{number}.png" for number in range(len(images))]
    (folder / split).mkdir(parents=True)
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / name)
    hashes = [list(bytes.fromhex(sha256_of_file(folder / name))) for name in names]
    np.save(prepared.image_files(split), np.array([name.encode() for name in names]))
    np.save(prepared.image_hashes(split), np.array(hashes, dtype=np.uint8))
