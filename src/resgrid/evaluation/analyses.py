"""What goes on inside a trained network, as the files that `evaluate` writes: a table of contents of the analyses."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resgrid.artifacts.cell_files import BLOCKS_COLUMNS, RESPONSES_COLUMNS
from resgrid.artifacts.files import csv_bytes
from resgrid.data.reading.images import Images
from resgrid.evaluation.activation_maps import class_activation_maps
from resgrid.evaluation.blocks import find_blocks
from resgrid.evaluation.figures import draw_activation_maps
from resgrid.evaluation.lesion import lesion_errors
from resgrid.evaluation.responses import layer_responses, residual_ratios
from resgrid.evaluation.sampling import Batches, evenly_spaced
from resgrid.terminal import console

# Classes in the figure of class activation maps; where there are more, as many of them, evenly spaced.
SHOWN_CLASSES = 10


def responses_csv(network: nn.Module, train: Batches) -> bytes:
    """`responses.csv` of a network in evaluation mode; the header alone where it has no 3×3 convolution."""
    responses = layer_responses(network, train)
    return csv_bytes(
        RESPONSES_COLUMNS, ((index, layer, std) for index, (layer, std) in enumerate(responses.items(), start=1))
    )


def blocks_csv(network: nn.Module, train: Batches, test: Batches) -> bytes:
    """`blocks.csv` of a network in evaluation mode; the header alone, and a message, where it is not made of blocks.

    Args:
        train: images for the sizes of residuals.
        test: images for the errors.
    """
    images, _ = next(iter(train))
    blocks = find_blocks(network, images[:2])
    if not blocks:
        console.print("the network is not made of blocks: no residual sizes and no lesions are measured")
        return csv_bytes(BLOCKS_COLUMNS, ())
    ratios = residual_ratios(network, blocks, train)
    intact, lesions = lesion_errors(network, blocks, test)
    rows = zip(range(1, len(blocks) + 1), (block.name for block in blocks), ratios, lesions, strict=True)
    return csv_bytes(BLOCKS_COLUMNS, ((*row, intact) for row in rows))


def activation_maps_png(network: nn.Module, test: Images, classes: list[str], title: str) -> bytes:
    """The picture of class activation maps of the first test image of each class.

    Args:
        network: in evaluation mode.
        test: the test split.
        classes: names by label.
        title: of the picture.
    """
    chosen = first_of_classes(test.labels.cpu(), evenly_spaced(len(classes), SHOWN_CLASSES))
    images, labels = test.plain(chosen)
    predicted, maps = class_activation_maps(network, images)
    return draw_activation_maps(
        test.pixels(chosen),
        maps.cpu().numpy(),
        [classes[label] for label in labels.tolist()],
        [classes[label] for label in predicted.tolist()],
        title,
    )


def first_of_classes(labels: Tensor, wanted: Tensor) -> Tensor:
    """int64: the index of the first image of each wanted class that has images; labels (N,), wanted (classes,)."""
    places = [torch.nonzero(labels == label)[:1, 0] for label in wanted]
    return torch.cat(places)
