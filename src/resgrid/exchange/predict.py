"""Classes, probabilities and class activation maps of a user's images, by a trained cell or any weights."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageOps
from rich.table import Table
from torch import Tensor
from torchvision.models import WeightsEnum

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.files import csv_bytes, write_atomically
from resgrid.data.reading.normalization import Normalization, NormalizeKind, read_normalization
from resgrid.data.reading.pixels import read_rgb
from resgrid.evaluation.activation_maps import class_activation_maps
from resgrid.exchange.evaluate_weights import check_stated_network, find_weights
from resgrid.exchange.image_folder import IMAGE_SUFFIXES
from resgrid.exchange.pretrained import scale_pixels_as_pretrained
from resgrid.exchange.weights import load_weights
from resgrid.exchange.weights_file import read_weights_file
from resgrid.hardware import compute_exactly
from resgrid.models import build_network
from resgrid.terminal import console

_SHOWN_CLASSES = 3


@dataclass(frozen=True)
class Preparation:
    """How images become a network's input.

    Attributes:
        prepare: maps an RGB image to its pixels, uint8 (C, H, W), and the normalized input, float32 (C, H, W).
        channels: of the input.
        classes: names; a label is an index into them.
    """

    prepare: Callable[[Image.Image], tuple[np.ndarray, Tensor]]
    channels: int
    classes: list[str]


@dataclass(frozen=True)
class Prediction:
    """One image's classes, from the most to the least probable, and the picture of its class activation map (PNG)."""

    file: Path
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    picture: bytes


def predict(
    images: Path,
    network_name: str,
    weights: str,
    into: Path,
    normalize: NormalizeKind,
    prepared: PreparedPaths | None = None,
) -> list[Prediction]:
    """Predict the classes of images, print them, and write `predictions.csv` and a picture for each image.

    Args:
        images: an image, or a folder with images in it.
        network_name: such as `resnet56-A`.
        weights: a file, or torchvision's weights such as `ResNet50_Weights.IMAGENET1K_V1`, which bring their own
            transforms and classes.
        into: folder to write.
        normalize: the kind of normalization, if the file's header doesn't state one.
        prepared: the data that give size, channels, classes and statistics; by default `data/prepared`.

    Raises:
        OSError: a file is missing or can't be written.
        ValueError: an image or the weights can't be read, or the weights don't fit the network.
    """
    files = find_images(images)
    compute_exactly(torch.get_num_threads(), deterministic=False)
    path, pretrained = find_weights(weights, None)
    file = read_weights_file(path)
    check_stated_network(file, network_name)
    if pretrained is not None:
        preparation = as_pretrained(pretrained)
    else:
        paths = prepared or PreparedPaths()
        card = DatasetCard.read(paths.card)
        normalization = file.normalization or read_normalization(paths, normalize, card)
        preparation = as_prepared(card, normalization)
    network = build_network(network_name, len(preparation.classes), preparation.channels)
    load_weights(network, file)
    if pretrained is not None:
        scale_pixels_as_pretrained(network)
    network.eval()
    predictions = [_predict_one(network, name, preparation, network_name) for name in files]
    _print(predictions)
    _write(predictions, images, into)
    return predictions


def find_images(path: Path) -> list[Path]:
    """Return the image, or the images in a folder, by name.

    Raises:
        ValueError: there are none.
    """
    if path.is_file():
        return [path]
    found = [each for each in sorted(path.glob("*")) if each.suffix.lower() in IMAGE_SUFFIXES and each.is_file()]
    if not found:
        raise ValueError(f"images: {path}: no image and no folder with images; use {', '.join(IMAGE_SUFFIXES)}")
    return found


def as_prepared(card: DatasetCard, normalization: Normalization) -> Preparation:
    """Prepare images as those of prepared data: the largest central part of the data's shape, scaled to its size."""
    channels, height, width = card.shape
    mean = torch.from_numpy(normalization.mean.astype(np.float32))
    std = 1.0 if normalization.std is None else torch.from_numpy(normalization.std.astype(np.float32))

    def prepare(image: Image.Image) -> tuple[np.ndarray, Tensor]:
        fitted = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(fitted.convert("L" if channels == 1 else "RGB"))
        pixels = pixels.reshape(height, width, channels).transpose(2, 0, 1).copy()
        return pixels, (torch.from_numpy(pixels) / 255 - mean) / std

    return Preparation(prepare, channels, card.classes)


def as_pretrained(weights: WeightsEnum) -> Preparation:
    """Prepare images as torchvision's weights need them."""
    transform: Any = weights.transforms()
    mean, std = (torch.tensor(numbers).reshape(-1, 1, 1) for numbers in (transform.mean, transform.std))

    def prepare(image: Image.Image) -> tuple[np.ndarray, Tensor]:
        normalized = transform(image)
        pixels = ((normalized * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
        return pixels.numpy(), normalized

    return Preparation(prepare, 3, weights.meta["categories"])


def _predict_one(network: torch.nn.Module, file: Path, preparation: Preparation, title: str) -> Prediction:
    try:
        image = read_rgb(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file}: not readable as an image: {error}; remove or replace the file") from error
    pixels, normalized = preparation.prepare(image)
    with torch.no_grad():
        probabilities = network(normalized[None]).double().softmax(dim=1)[0]
    order = probabilities.argsort(descending=True)[:_SHOWN_CLASSES].tolist()
    classes = tuple(preparation.classes[label] for label in order)
    _, maps = class_activation_maps(network, normalized[None])
    heading = f"{classes[0]}: {100 * probabilities[order[0]]:.1f}%"
    picture = draw_prediction(pixels, maps[0].numpy(), heading, title)
    return Prediction(file, classes, tuple(probabilities[order].tolist()), picture)


def draw_prediction(pixels: np.ndarray, activations: np.ndarray, heading: str, network: str) -> bytes:
    """Draw an image next to its class activation map, scaled to its own minimum and maximum, as PNG.

    Args:
        pixels: uint8 (C, H, W), with 1 or 3 channels.
        activations: float (h, w).
        heading: class and probability.
    """
    figure = Figure(figsize=(5.2, 3.1))
    figure.suptitle(heading, parse_math=False)
    figure.text(0.5, 0.02, f"{network}: bright positions speak for the class", ha="center", fontsize=8)
    left, right = figure.subplots(1, 2)
    picture = np.broadcast_to(pixels, (3, *pixels.shape[1:])).transpose(1, 2, 0)
    height, width = picture.shape[:2]
    extent = (0, width, height, 0)
    left.imshow(picture, extent=extent)
    right.imshow(activations, cmap="inferno", interpolation="bilinear", extent=extent)
    right.imshow(picture.mean(axis=2), cmap="gray", vmin=0, vmax=255, alpha=0.3, extent=extent)
    for axes in (left, right):
        axes.set_axis_off()
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    return content.getvalue()


def _print(predictions: list[Prediction]) -> None:
    table = Table("image", "class", "probability", "next")
    for each in predictions:
        others = zip(each.classes[1:], each.probabilities[1:], strict=True)
        following = ", ".join(f"{name} {100 * probability:.1f}%" for name, probability in others)
        table.add_row(each.file.name, each.classes[0], f"{100 * each.probabilities[0]:.1f}%", following)
    console.print(table)


def _write(predictions: list[Prediction], images: Path, into: Path) -> None:
    rows = [(each.file.name, each.classes[0], each.probabilities[0]) for each in predictions]
    write_atomically(into / "predictions.csv", csv_bytes(("image", "class", "probability"), rows))
    for each in predictions:
        write_atomically(into / f"{re.sub('[^A-Za-z0-9._-]', '_', each.file.name)}.map.png", each.picture)
    console.print(f"{images}: {into / 'predictions.csv'}, and a class activation map for each image in {into}")
