"""The tables of `resgrid complexity`: networks, their layers, the paper's numbers, and counting exercises."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from rich.table import Table
from torch import nn

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.models.complexity import NetworkCost, count, count_network
from resgrid.paper import COMPLEXITY, PublishedCount
from resgrid.terminal import console

ImageSize = tuple[int, int, int]


def count_all(names: Iterable[str], image: str | None, classes: int | None) -> tuple[ImageSize, dict[str, NetworkCost]]:
    """Count networks.

    Args:
        image: size such as `3x32x32`; None for that of the prepared data.
        classes: number of logits; None for that of the prepared data.

    Returns:
        The image's size, and the counts by name.

    Raises:
        ValueError: a name or the size is not valid, or a network can't take such an image.
        FileNotFoundError: size or classes are None, and there are no prepared data.
    """
    size = None if image is None else parse_image_size(image)
    if size is None or classes is None:
        try:
            card = DatasetCard.read(PreparedPaths().card)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}, or use --image and --classes, such as 3x32x32 and 10") from None
        size, classes = size or card.shape, classes or len(card.classes)
    return size, {name: count_network(name, size, classes) for name in names}


def parse_image_size(text: str) -> ImageSize:
    """Parse a size such as `3x32x32` (or with ×) into channels, height and width.

    Raises:
        ValueError: the text is not three positive numbers.
    """
    match = re.fullmatch(r"([1-9]\d*)[x×]([1-9]\d*)[x×]([1-9]\d*)", text)
    if match is None:
        raise ValueError(f"image: {text!r}: not a size; use <channels>x<height>x<width>, such as 3x32x32")
    return int(match[1]), int(match[2]), int(match[3])


def print_counts(image: ImageSize, costs: dict[str, NetworkCost], layers: bool) -> None:
    """Print a table of the networks; before it, if `layers`, a table of each network's layers."""
    if layers:
        for name, cost in costs.items():
            console.print(layers_table(name, cost))
    console.print(costs_table(costs, image))


def print_json(costs: dict[str, NetworkCost]) -> None:
    """Print all fields of `NetworkCost` by network as JSON, on standard output."""
    json.dump({name: asdict(cost) for name, cost in costs.items()}, sys.stdout, indent=2)
    sys.stdout.write("\n")


def print_paper() -> None:
    """Print `paper_table`."""
    console.print(paper_table())


def print_exercises() -> None:
    """Print `exercises_table`."""
    console.print(exercises_table())


def costs_table(costs: dict[str, NetworkCost], image: ImageSize) -> Table:
    """Make a table with a row for each network."""
    table = Table("network", title=f"for one image of {shape_text(image)}", title_justify="left")
    for heading in ("layers", "parameters", "multiply-adds", "kept for training", "receptive field"):
        table.add_column(heading, justify="right")
    table.add_column("parameters by part")
    for name, cost in costs.items():
        parts = ", ".join(f"{part} {parameters:,}" for part, parameters in cost.parts.items())
        table.add_row(
            name,
            str(cost.depth),
            f"{cost.parameters:,}",
            f"{cost.multiply_adds:,}",
            bytes_text(cost.activation_bytes),
            "" if cost.receptive_field is None else f"{cost.receptive_field}×{cost.receptive_field}",
            parts,
        )
    return table


def layers_table(name: str, cost: NetworkCost) -> Table:
    """Make a table with a row for each layer that has weights or pools."""
    table = Table("layer", "kind", title=name, title_justify="left")
    for heading in ("depth", "output", "parameters", "multiply-adds", "receptive field"):
        table.add_column(heading, justify="right")
    for layer in cost.layers:
        field = "" if layer.receptive_field is None else shape_text(layer.receptive_field)
        numbers = (f"{number:,}" if number else "" for number in (layer.parameters, layer.multiply_adds))
        table.add_row(layer.path, layer.kind, str(layer.depth), shape_text(layer.output), *numbers, field)
    table.add_section()
    table.add_row("total", "", str(cost.depth), "", f"{cost.parameters:,}", f"{cost.multiply_adds:,}", "")
    return table


def paper_table() -> Table:
    """Make a table of the paper's numbers, our counts with as many digits, and whether they agree."""
    table = Table("network", "source", "quantity", title="the paper's numbers and our counts", title_justify="left")
    for heading in ("paper", "ours, rounded", "ours, exact"):
        table.add_column(heading, justify="right")
    table.add_column("agree")
    for number in COMPLEXITY:
        exact = paper_quantity(number)
        ours = round(exact / number.unit, number.digits)
        unit = {1e6: "M", 1e9: "G"}[number.unit]
        table.add_row(
            number.network,
            number.source,
            number.quantity,
            f"{number.value:.{number.digits}f} {unit}",
            f"{ours:.{number.digits}f} {unit}",
            f"{exact:,}",
            agreement(number, exact),
        )
    return table


def paper_quantity(number: PublishedCount) -> int:
    """Count exactly what the paper prints."""
    cost = count_network(number.network, number.image, number.classes)
    return cost.parameters if number.quantity == "parameters" else cost.multiply_adds


def agreement(number: PublishedCount, exact: int) -> str:
    """Compare a printed number with an exact count: `yes`, `yes (truncated, not rounded)` or `no`."""
    scale = 10**number.digits
    if round(exact / number.unit, number.digits) == number.value:
        return "yes"
    truncated = int(exact / number.unit * scale) / scale
    return "yes (truncated, not rounded)" if truncated == number.value else "no"


@dataclass(frozen=True)
class Exercise:
    """A counting exercise with its exact answer."""

    task: str
    count: str


def exercises() -> Iterable[Exercise]:
    """Yield the counting exercises of lectures on these networks."""
    direct = nn.Conv2d(128, 128, 3, padding=1, bias=False)
    pair = nn.Sequential(nn.Conv2d(128, 32, 1, bias=False), nn.Conv2d(32, 128, 3, padding=1, bias=False))
    image = (128, 28, 28)
    for task, network in (
        ("3×3 convolution, 128 to 128 channels", nn.Sequential(direct)),
        ("1×1 convolution to 32 channels, 3×3 back to 128", pair),
    ):
        cost = count(network, image)
        yield Exercise(f"{task}: weights", f"{cost.parameters:,}")
        yield Exercise(f"{task}: multiply-adds on a 28×28 map", f"{cost.multiply_adds:,}")
    for layers in (1, 2, 3):
        stack = nn.Sequential(*(nn.Conv2d(64, 64, 3, padding=1, bias=False) for _ in range(layers)))
        cost = count(stack, (64, 28, 28))
        yield Exercise(f"{layers} × 3×3 convolution: receptive field", f"{cost.receptive_field}×{cost.receptive_field}")
    for size in (5, 7):
        alone = nn.Sequential(nn.Conv2d(64, 64, size, padding=size // 2, bias=False))
        stacked = nn.Sequential(*(nn.Conv2d(64, 64, 3, padding=1, bias=False) for _ in range(size // 2)))
        ours, theirs = (count(network, (64, 28, 28)).parameters for network in (alone, stacked))
        yield Exercise(
            f"{size}×{size} convolution, 64 channels, against {size // 2} of 3×3: weights", f"{ours:,} : {theirs:,}"
        )
    for label, builder in (("AlexNet", "alexnet"), ("VGG-19", "vgg19"), ("GoogLeNet", "googlenet")):
        cost = count_network(f"torchvision-{builder}", (3, 224, 224), 1000)
        yield Exercise(f"{label}: weighted layers", str(cost.depth))
        yield Exercise(f"{label}: parameters", f"{cost.parameters:,}")
        yield Exercise(f"{label}: multiply-adds at 224×224", f"{cost.multiply_adds:,}")


def exercises_table() -> Table:
    """Make a table of the counting exercises."""
    table = Table("exercise", title="counting exercises", title_justify="left")
    table.add_column("exact count", justify="right")
    for exercise in exercises():
        table.add_row(exercise.task, exercise.count)
    return table


def shape_text(shape: Iterable[int]) -> str:
    """Format a shape, such as `3×32×32`."""
    return "×".join(map(str, shape))


def bytes_text(count: int) -> str:
    """Format a number of bytes, such as `1.52 MB` or `345 kB`."""
    return f"{count / 1e6:.2f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
