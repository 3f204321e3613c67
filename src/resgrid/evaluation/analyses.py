"""The analyses of a trained network: one table of all files that `evaluate` makes of what happens inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor, nn

from resgrid.artifacts.analyses import ANALYSIS_COLUMNS
from resgrid.artifacts.files import csv_bytes
from resgrid.evaluation.activation_maps import draw_sample_maps
from resgrid.evaluation.blocks import find_blocks
from resgrid.evaluation.lesion import lesion_errors
from resgrid.evaluation.responses import layer_responses, residual_ratios
from resgrid.evaluation.sampling import Batches
from resgrid.terminal import console


@dataclass(frozen=True)
class Subject:
    """A trained network, and what it is analyzed with.

    Attributes:
        name: the cell's name.
        network: in evaluation mode.
        logits: float32 (N, classes) of all test images, on the CPU.
        train: the training images that are used.
        test: the test images that are used; `test.images` holds the whole split.
        classes: class names by label.
    """

    name: str
    network: nn.Module
    logits: Tensor
    train: Batches
    test: Batches
    classes: list[str]


def confusion(subject: Subject) -> bytes:
    """Make `actual,predicted` by class name, one row for each test image: what DVC's confusion plots read."""
    pairs = zip(subject.test.images.labels.tolist(), subject.logits.argmax(dim=1).tolist(), strict=True)
    names = subject.classes
    return csv_bytes(("actual", "predicted"), ((names[actual], names[predicted]) for actual, predicted in pairs))


def responses(subject: Subject) -> bytes:
    """Measure layer responses; the table has no rows if the network has no 3×3 convolution."""
    measured = layer_responses(subject.network, subject.train)
    return _table("responses", ((index, layer, std) for index, (layer, std) in enumerate(measured.items(), start=1)))


def blocks(subject: Subject) -> bytes:
    """Measure each block's residual and lesion; the table has no rows if the network is not made of blocks."""
    images, _ = next(iter(subject.train))
    found = find_blocks(subject.network, images[:2])
    if not found:
        console.print(f"{subject.name}: the network is not made of blocks; blocks.csv gets no rows", markup=False)
        return _table("blocks", ())
    ratios = residual_ratios(subject.network, found, subject.train)
    intact, lesions = lesion_errors(subject.network, found, subject.test)
    rows = zip(range(1, len(found) + 1), (block.name for block in found), ratios, lesions, strict=True)
    return _table("blocks", ((*row, intact) for row in rows))


def activation_maps(subject: Subject) -> bytes:
    """Draw the class activation maps of the first test image of each class."""
    return draw_sample_maps(subject.network, subject.test.images, subject.classes, subject.name)


# Each file below `runs/<cell>`, and the function that computes its content.
ANALYSES: dict[str, Callable[[Subject], bytes]] = {
    "confusion.csv": confusion,
    "responses.csv": responses,
    "blocks.csv": blocks,
    "activation_maps.png": activation_maps,
}


def _table(name: str, rows: Iterable[Iterable[object]]) -> bytes:
    return csv_bytes(ANALYSIS_COLUMNS[name], rows)
