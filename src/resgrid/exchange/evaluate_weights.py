"""Testing any weights file on any prepared data set, or on a folder of images as torchvision's weights want them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import numpy as np
import torch
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.models import WeightsEnum, get_weight

from resgrid.artifacts.cell_files import TestMetrics
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.data.reading.batches import EvaluationLoader
from resgrid.data.reading.device_images import DeviceImages
from resgrid.data.reading.normalization import Normalization, NormalizeKind, read_normalization
from resgrid.data.reading.store import open_split
from resgrid.evaluation.evaluate import measure
from resgrid.exchange.state_dicts import SUFFIXES, read_metadata
from resgrid.hardware import count_cores
from resgrid.models import build_network, load_weights
from resgrid.terminal import console

Batches = Iterable[tuple[Tensor, Tensor]]
CLASSES_IN_A_TABLE = 20


@dataclass(frozen=True)
class Source:
    """Images in batches, and what a reader must know of them.

    Attributes:
        batches: images (b, C, H, W), normalized, and labels (b,).
        channels: of the images.
        classes: names; a label is an index into them.
        words: which images, and how they are normalized.
    """

    batches: Batches
    channels: int
    classes: list[str]
    words: str


def evaluate_weights(
    network_name: str,
    weights: str,
    data: Path,
    split: str,
    normalize: NormalizeKind | None,
    given: Normalization | None,
    transforms: str | None,
    batch_size: int,
    default_normalize: NormalizeKind,
) -> None:
    """Test a network with any weights, and print error, loss and per-class errors.

    Args:
        network_name: such as `resnet56-A`.
        weights: a file, or one of torchvision's such as `ResNet50_Weights.IMAGENET1K_V1`, which is fetched once.
        data: a folder like `data/prepared`, or one of images, `<class>/*`.
        split: of prepared data.
        normalize: the prepared data's own statistics of that kind.
        given: a normalization by channel, instead.
        transforms: for a file and a folder of images: the torchvision weights that the file corresponds to.
        batch_size: images at once.
        default_normalize: for prepared data, where neither the command nor the file says anything.

    Raises:
        OSError: a file is missing or can't be fetched.
        ValueError: the weights don't fit the network, or an argument doesn't fit the data.
    """
    file, published = find_weights(weights, transforms)
    if PreparedPaths(data).card.exists():
        stated = None if normalize else read_metadata(file).get("normalization")
        given = given or (Normalization.from_header(stated, file) if stated else None)
        source = open_prepared(PreparedPaths(data), split, batch_size, normalize or default_normalize, given)
    else:
        source = open_folder(data, published, batch_size, given)
    network = build_network(network_name, len(source.classes), source.channels)
    load_weights(network, file)
    if published is not None and hasattr(network, "transform_input"):
        # GoogLeNet's and Inception-v3's weights want another scale of pixels (torchvision/models/googlenet.py).
        network.transform_input = True  # pyright: ignore[reportArgumentType]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    logits, labels = compute_logits(network.to(device), source.batches, device)
    print_results(network_name, weights, source, measure(logits, logits, labels, source.classes), top5(logits, labels))


def find_weights(weights: str, transforms: str | None) -> tuple[Path, WeightsEnum | None]:
    """The file of weights, and which of torchvision's weights they are, or correspond to, if any.

    Raises:
        OSError: they can't be fetched.
        ValueError: a name means no weights.
    """
    if Path(weights).suffix in SUFFIXES:
        return Path(weights), None if transforms is None else find_published(transforms)
    published = find_published(weights)
    if transforms is not None:
        raise ValueError(f"transforms: {transforms!r}: {weights} bring their own; allowed is this with a file only")
    return fetch_weights(published), published


def find_published(name: str) -> WeightsEnum:
    """One of torchvision's pretrained weights.

    Raises:
        ValueError: there is no such file, and no such weights.
    """
    try:
        return get_weight(name)
    except (ValueError, KeyError, TypeError):  # by which part of the name it doesn't know
        raise ValueError(
            f"weights: {name!r} is neither a file (.pt, .pth, .th, .safetensors) nor one of torchvision's, such as "
            "ResNet50_Weights.IMAGENET1K_V1"
        ) from None


def fetch_weights(published: WeightsEnum) -> Path:
    """The file of published weights, verified by the hash in its name, from torch's cache or from its address.

    Raises:
        OSError: it can't be fetched; the message says what to do instead.
    """
    name = Path(urlparse(published.url).path).name
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(published.url, str(file), hash_prefix=file.stem.rpartition("-")[2])
        except (URLError, TimeoutError, ConnectionError, RuntimeError) as error:
            raise OSError(
                f"{published} can't be fetched from {published.url} ({error}); fetch it where that address is "
                f"reachable, and put it at {file}, or give the file: --weights {name} --transforms {published}"
            ) from None
    return file


def open_prepared(
    paths: PreparedPaths, split: str, batch_size: int, normalize: NormalizeKind, given: Normalization | None
) -> Source:
    """A split of prepared data.

    Args:
        normalize: with the data's own statistics of this kind, if nothing is given.
        given: a normalization that isn't the data's.

    Raises:
        ValueError: the data contradict themselves, or the normalization has other channels.
    """
    card, arrays = DatasetCard.read(paths.card), open_split(paths, split)
    normalization = given or read_normalization(paths, normalize, card)
    if len(normalization.mean) != card.shape[0]:
        raise ValueError(
            f"normalization: {normalization.words}: has {len(normalization.mean)} channels, the images {card.shape[0]}"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = DeviceImages(arrays.images, arrays.labels, normalization.mean, normalization.std).to(device)
    batches = (images.plain(indices.to(device)) for indices in EvaluationLoader(len(images), batch_size))
    words = f"{card.label}, {split} split of {paths.root}; normalization: {normalization.words}"
    return Source(batches, card.shape[0], card.classes, words)


def open_folder(folder: Path, published: WeightsEnum | None, batch_size: int, given: Normalization | None) -> Source:
    """A folder of images with a folder below it for each class, in the alphabetical order of these.

    Args:
        published: whose transforms the images get, and whose classes they are.
        given: a normalization instead of that of the transforms.

    Raises:
        ValueError: there is no such folder, it has other classes, or nothing says how its images are to be cut.
    """
    if published is None:
        raise ValueError(
            f"data: {folder} holds no prepared data (card.json); to test a file on a folder of images, say which of "
            "torchvision's weights it corresponds to: --transforms ResNet50_Weights.IMAGENET1K_V1, for instance"
        )
    override: dict[str, list[float]] = {}
    if given is not None and given.std is not None:
        override = {"mean": given.mean.ravel().tolist(), "std": given.std.ravel().tolist()}
    transform = published.transforms(**override)
    try:
        images = ImageFolder(str(folder), transform)
    except FileNotFoundError as error:
        raise ValueError(f"data: {folder}: no folder with a folder of images for each class: {error}") from None
    categories = published.meta["categories"]
    if len(images.classes) != len(categories):
        raise ValueError(
            f"data: {folder} has {len(images.classes)} classes, {published} has {len(categories)}: a label would mean "
            "another class; allowed is the whole data set's folder, with a folder for each class"
        )
    names = [f"{wordnet} {category}" for wordnet, category in zip(images.classes, categories, strict=True)]
    loader = DataLoader(images, batch_size, num_workers=count_cores())
    description = " ".join(str(transform).split())
    return Source(loader, 3, names, f"{folder}, {len(images):,} images; transforms of {published}: {description}")


def compute_logits(network: nn.Module, batches: Batches, device: torch.device) -> tuple[Tensor, Tensor]:
    """float32 (N, classes) and labels (N,), on the CPU; the network computes in evaluation mode, in fp32."""
    network.eval()
    with torch.inference_mode():
        parts = [(network(images.to(device)).float().cpu(), labels.cpu()) for images, labels in batches]
    logits, labels = zip(*parts, strict=True)
    return torch.cat(logits), torch.cat(labels)


def top5(logits: Tensor, labels: Tensor) -> float | None:
    """Images whose class isn't among the five likeliest, in percent; None with five classes or fewer."""
    if logits.shape[1] <= 5:
        return None
    found = (logits.topk(5).indices == labels[:, None]).any(dim=1)
    return 100 * (~found).double().mean().item()


def print_results(network: str, weights: str, source: Source, metrics: TestMetrics, top5_error: float | None) -> None:
    """To the terminal: the totals, then the errors of the classes, of many classes the worst."""
    console.print(f"{network} with {weights} on {source.words}", markup=False)
    totals = Table("images", "error (%)", "top-5 error (%)", "loss (nats)")
    top5_text = "" if top5_error is None else f"{top5_error:.2f}"
    totals.add_row(f"{metrics.images:,}", f"{metrics.test_error:.2f}", top5_text, f"{metrics.test_loss:.4f}")
    console.print(totals)
    errors = list(metrics.per_class_error.items())
    title = None
    if len(errors) > CLASSES_IN_A_TABLE:
        title = f"the {CLASSES_IN_A_TABLE} worst of {len(errors)} classes"
        present = [(name, error) for name, error in errors if not np.isnan(error)]
        errors = sorted(present, key=lambda item: -item[1])[:CLASSES_IN_A_TABLE]
    classes = Table("class", "error (%)", title=title, title_justify="left")
    for name, error in errors:
        classes.add_row(name, "no images" if np.isnan(error) else f"{error:.2f}")
    console.print(classes)
