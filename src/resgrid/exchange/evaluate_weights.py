"""Tests weights of any origin on prepared data, or on a folder of images as torchvision's weights need them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
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
from resgrid.exchange.weights import load_weights
from resgrid.exchange.weights_file import WeightsFile, read_weights_file, shortened
from resgrid.hardware import choose_device, count_cores, exact_fp32
from resgrid.models import build_network
from resgrid.names import PlainOrResidual, parse_network
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
        ValueError: the weights don't fit the network, an argument doesn't fit the data, or the logits are not finite.
    """
    exact_fp32()
    device = choose_device()
    path, pretrained = find_weights(weights, transforms)
    file = read_weights_file(path)
    if PreparedPaths(data).card.exists():
        chosen = normalization or file.normalization or default_normalize
        images = open_prepared(PreparedPaths(data), split, batch_size, chosen, device)
    else:
        given = normalization if isinstance(normalization, Normalization) else None
        images = open_folder(data, pretrained, batch_size, given, device, count_cores())
    check_stated_network(file, network_name)
    for warning in warnings_about(file, network_name, images.classes):
        console.print(f"warning: {warning}", style="yellow")
    network = build_network(network_name, len(images.classes), images.channels)
    load_weights(network, file)
    if pretrained is not None:
        scale_pixels_as_pretrained(network)
    logits = single_view_logits(network.eval().to(device), images.batches)
    if wrong := int((~logits.isfinite()).any(dim=1).sum()):
        raise ValueError(
            f"weights: {weights}: logits of {wrong} of {len(logits)} images are NaN or infinite; use other weights"
        )
    print_results(network_name, weights, images, measure(logits, logits, images.labels, images.classes))


def find_weights(weights: str, transforms: str | None) -> tuple[Path, WeightsEnum | None]:
    """Find the weights' file, and the torchvision weights that it contains or corresponds to, if any.

    Raises:
        OSError: the file can't be downloaded.
        ValueError: there is no such file, and torchvision has no such weights.
    """
    if Path(weights).exists():
        return Path(weights), None if transforms is None else find_pretrained(transforms)
    pretrained = find_pretrained(weights)
    if transforms is not None:
        raise ValueError(f"transforms: {transforms!r}: {weights} has its own transforms; omit this option")
    return fetch_pretrained(pretrained), pretrained


def check_stated_network(file: WeightsFile, network_name: str) -> None:
    """Check that a weights file doesn't state another network, whose tensors may have the same names and shapes.

    Raises:
        ValueError: it does.
    """
    stated = file.header.get("network", network_name)
    if stated != network_name:
        raise ValueError(f"weights: {file.path}: the header states network {shortened(stated)}; use --network with it")


def warnings_about(file: WeightsFile, network_name: str, classes: list[str]) -> Iterator[str]:
    """Yield reasons why weights that fit a network may give wrong results."""
    network = parse_network(network_name)
    if (
        isinstance(network, PlainOrResidual)
        and (network.images, network.bottleneck, network.stride_in) == ("imagenet", True, "1x1")
        and "network" not in file.header
    ):
        other = replace(network, stride_in="3x3").name
        yield (
            "torchvision's weights have the same names and shapes, but are of networks with the stride in the 3×3 "
            f"convolution; test them as {other}"
        )
    if file.classes is not None and file.classes != classes:
        stated, found = (shortened(", ".join(names)) for names in (file.classes, classes))
        yield f"the weights are for the classes {stated}; the data have {found}"


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
    if normalization.mean.shape not in (card.shape, (card.shape[0], 1, 1)):
        shapes = ("×".join(map(str, shape)) for shape in (normalization.mean.shape, card.shape))
        raise ValueError(
            "normalization: {}: has the shape {}, the images {}; use one number for each channel".format(
                normalization.words, *shapes
            )
        )
    images = open_images(paths, split, normalization, card, count_cores()).to(device)
    batches = (images.plain(batch)[0] for batch in images.evaluation_loader(batch_size))
    description = f"{card.label}, {split} split of {paths.root}; normalization: {normalization.words}"
    return LabeledImages(batches, images.labels.cpu(), card.shape[0], card.classes, description)


def open_folder(
    folder: Path,
    pretrained: WeightsEnum | None,
    batch_size: int,
    given: Normalization | None,
    device: torch.device,
    workers: int,
) -> LabeledImages:
    """Open a folder of images with a folder for each class, in alphabetical order.

    Args:
        pretrained: the weights whose transforms and classes apply.
        given: a normalization instead of that of the transforms.
        workers: processes that decode; 0 for none.

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
    images = ImageFolder(folder, transform, batch_size, workers)
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
    console.print(f"{network} with {weights} on {images.description}")
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
