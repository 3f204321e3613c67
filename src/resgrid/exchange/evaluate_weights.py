"""Tests weights of any origin on prepared data, or on a folder of images as torchvision's weights need them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.table import Table
from torch import Tensor
from torchvision.models import WeightsEnum

from resgrid.artifacts.cell_files import TestMetrics
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.data.reading.images import open_images
from resgrid.data.reading.normalization import Normalization, NormalizeKind, read_normalization
from resgrid.evaluation.metrics import measure
from resgrid.evaluation.views import single_view_logits
from resgrid.exchange.image_folder import ImageFolder
from resgrid.exchange.pretrained import fetch_pretrained, find_pretrained, scale_pixels_as_pretrained
from resgrid.exchange.weights import SUFFIXES, load_weights, read_normalization_header
from resgrid.hardware import compute_exactly, count_cores
from resgrid.models import build_network
from resgrid.terminal import console

CLASSES_IN_A_TABLE = 20


@dataclass(frozen=True)
class LabeledImages:
    """Images to test on.

    Attributes:
        batches: normalized images (b, C, H, W) on the computing device.
        labels: int64 (N,), on the CPU.
        channels: of the images.
        classes: names; a label is an index into them.
        description: which images these are, and how they are normalized.
    """

    batches: Iterable[Tensor]
    labels: Tensor
    channels: int
    classes: list[str]
    description: str


def evaluate_weights(
    network_name: str,
    weights: str,
    data: Path,
    split: str,
    normalization: NormalizeKind | Normalization | None,
    transforms: str | None,
    batch_size: int,
    default_normalize: NormalizeKind,
) -> None:
    """Test a network with any weights, and print error, loss and per-class errors.

    Args:
        network_name: such as `resnet56-A`.
        weights: a file, or torchvision's weights such as `ResNet50_Weights.IMAGENET1K_V1`, which are downloaded once.
        data: a folder like `data/prepared`, or one of images, `<class>/<image>`.
        split: of prepared data.
        normalization: by the prepared data's own statistics of a kind, or by given numbers; None: as the file's header
            states, or else `default_normalize`, or for a folder of images as the transforms have it.
        transforms: for a file and a folder of images: the torchvision weights that the file corresponds to.
        batch_size: images at a time.
        default_normalize: the kind for prepared data if nothing else states one.

    Raises:
        OSError: a file is missing or can't be downloaded.
        ValueError: the weights don't fit the network, or an argument doesn't fit the data.
    """
    compute_exactly(torch.get_num_threads(), deterministic=False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    file, pretrained = find_weights(weights, transforms)
    if PreparedPaths(data).card.exists():
        chosen = normalization or read_normalization_header(file) or default_normalize
        images = open_prepared(PreparedPaths(data), split, batch_size, chosen, device)
    else:
        given = normalization if isinstance(normalization, Normalization) else None
        images = open_folder(data, pretrained, batch_size, given, device)
    network = build_network(network_name, len(images.classes), images.channels)
    load_weights(network, file)
    if pretrained is not None:
        scale_pixels_as_pretrained(network)
    logits = single_view_logits(network.eval().to(device), images.batches)
    print_results(network_name, weights, images, measure(logits, logits, images.labels, images.classes))


def find_weights(weights: str, transforms: str | None) -> tuple[Path, WeightsEnum | None]:
    """Find the weights' file, and the torchvision weights that it contains or corresponds to, if any.

    Raises:
        OSError: the file can't be downloaded.
        ValueError: a name is not known.
    """
    if Path(weights).suffix in SUFFIXES:
        return Path(weights), None if transforms is None else find_pretrained(transforms)
    pretrained = find_pretrained(weights)
    if transforms is not None:
        raise ValueError(f"transforms: {transforms!r}: {weights} has its own transforms; omit this option")
    return fetch_pretrained(pretrained), pretrained


def open_prepared(
    paths: PreparedPaths,
    split: str,
    batch_size: int,
    normalization: NormalizeKind | Normalization,
    device: torch.device,
) -> LabeledImages:
    """Open a split of prepared data.

    Raises:
        ValueError: the data are damaged or inconsistent, or the normalization has another number of channels.
    """
    card = DatasetCard.read(paths.card)
    if not isinstance(normalization, Normalization):
        normalization = read_normalization(paths, normalization, card)
    if len(normalization.mean) != card.shape[0]:
        raise ValueError(
            f"normalization: {normalization.words}: has {len(normalization.mean)} channels, "
            f"the images {card.shape[0]}; use one number for each channel"
        )
    images = open_images(paths, split, normalization, card, count_cores()).to(device)
    batches = (images.plain(batch)[0] for batch in images.evaluation_loader(batch_size))
    description = f"{card.label}, {split} split of {paths.root}; normalization: {normalization.words}"
    return LabeledImages(batches, images.labels.cpu(), card.shape[0], card.classes, description)


def open_folder(
    folder: Path, pretrained: WeightsEnum | None, batch_size: int, given: Normalization | None, device: torch.device
) -> LabeledImages:
    """Open a folder of images with a folder for each class, in alphabetical order.

    Args:
        pretrained: the weights whose transforms and classes apply.
        given: a normalization instead of that of the transforms.

    Raises:
        ValueError: the folder has no images or other classes, or `pretrained` is None.
    """
    if pretrained is None:
        raise ValueError(
            f"data: {folder}: contains no prepared data (card.json); to test a file on a folder of images, state the "
            "torchvision weights that it corresponds to, such as --transforms ResNet50_Weights.IMAGENET1K_V1"
        )
    override: dict[str, list[float]] = {}
    if given is not None and given.std is not None:
        override = {"mean": given.mean.ravel().tolist(), "std": given.std.ravel().tolist()}
    transform = pretrained.transforms(**override)
    images = ImageFolder(folder, transform, batch_size, count_cores())
    categories = pretrained.meta["categories"]
    if len(images.classes) != len(categories):
        raise ValueError(
            f"data: {folder}: has {len(images.classes)} classes, but {pretrained} has {len(categories)}, "
            "so that labels would mean other classes; use the folder of the whole data set"
        )
    classes = [f"{name} {category}" for name, category in zip(images.classes, categories, strict=True)]
    transform_text = " ".join(str(transform).split())
    description = f"{folder}, {len(images):,} images; transforms of {pretrained}: {transform_text}"
    return LabeledImages((batch.to(device) for batch in images), images.labels, 3, classes, description)


def print_results(network: str, weights: str, images: LabeledImages, metrics: TestMetrics) -> None:
    """Print the totals and the classes' errors; of many classes, only those with the highest."""
    console.print(f"{network} with {weights} on {images.description}", markup=False)
    columns = {
        "images": f"{metrics.images:,}",
        "error (%)": f"{metrics.test_error:.2f}",
        "top-5 error (%)": None if metrics.test_top5_error is None else f"{metrics.test_top5_error:.2f}",
        "loss (nats)": f"{metrics.test_loss:.4f}",
    }
    shown = {name: text for name, text in columns.items() if text is not None}
    totals = Table(*shown)
    totals.add_row(*shown.values())
    console.print(totals)
    errors = list(metrics.per_class_error.items())
    title = None
    if len(errors) > CLASSES_IN_A_TABLE:
        title = f"the {CLASSES_IN_A_TABLE} of {len(errors)} classes with the highest errors"
        present = [(name, error) for name, error in errors if not np.isnan(error)]
        errors = sorted(present, key=lambda item: -item[1])[:CLASSES_IN_A_TABLE]
    classes = Table("class", "error (%)", title=title, title_justify="left")
    for name, error in errors:
        classes.add_row(name, "no images" if np.isnan(error) else f"{error:.2f}")
    console.print(classes)
