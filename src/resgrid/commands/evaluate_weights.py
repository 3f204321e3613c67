"""Command: test any weights file on any prepared data set, or on a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resgrid.artifacts.data_card import PREPARED
from resgrid.config.whole import load_config
from resgrid.data.reading.normalization import NormalizeKind, given_normalization
from resgrid.names import parse_network
from resgrid.terminal import run_command


def main(
    network: Annotated[str, typer.Option(help="Network name, such as resnet56-A.")],
    weights: Annotated[str, typer.Option(help="File, or torchvision's, such as ResNet50_Weights.IMAGENET1K_V1.")],
    data: Annotated[Path, typer.Option(help="Folder like data/prepared, or of images, <class>/*.")] = PREPARED,
    split: Annotated[str, typer.Option(help="Of prepared data: train, val or test.")] = "test",
    normalize: Annotated[
        NormalizeKind | None,
        typer.Option(
            help="With the prepared data's statistics; by default as the file states, or as params.yaml says."
        ),
    ] = None,
    mean: Annotated[str | None, typer.Option(help="By channel instead, such as 0.485,0.456,0.406.")] = None,
    std: Annotated[str | None, typer.Option(help="By channel, with --mean.")] = None,
    transforms: Annotated[
        str | None, typer.Option(help="For a folder of images and a file: the torchvision weights it corresponds to.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images at once.", min=1)] = 100,
) -> None:
    """Test a network with any file's weights: error, loss, errors by class. Nothing in the file is run."""
    parse_network(network)
    default = load_config().augment.normalize
    given = given_normalization(mean, std)
    from resgrid.exchange.evaluate_weights import evaluate_weights

    evaluate_weights(network, weights, data, split, normalize, given, transforms, batch_size, default)


if __name__ == "__main__":
    run_command(main)
