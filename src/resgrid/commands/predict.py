"""Command `predict`: classes and class activation maps of your own images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resgrid.commands.repository import user_path


def predict(
    images: Annotated[Path, typer.Argument(help="An image, or a folder with images in it.")],
    cell: Annotated[
        str | None, typer.Option(help="Trained cell.  [default: the grid's last network with its first seed]")
    ] = None,
    network: Annotated[str | None, typer.Option(help="Another network, with --weights.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="File, or torchvision's name: ResNet50_Weights.IMAGENET1K_V1.")
    ] = None,
    into: Annotated[Path, typer.Option(help="Folder of the pictures and predictions.csv.")] = Path("predictions"),
) -> None:
    """Predict the classes of your images, with maps.

    Images are cropped to the shape of the data and scaled to their size. They should look like the training images:
    digits are bright on a dark ground, for instance.

    \b
    Examples:
      resgrid predict photo.png
      resgrid predict photos/ --cell resnet20-A-0
      resgrid predict photos/ --network torchvision-resnet50 --weights ResNet50_Weights.IMAGENET1K_V1
    """
    from resgrid.artifacts.cell_files import CellPaths
    from resgrid.cells import parse_cell
    from resgrid.config.whole import load_config
    from resgrid.names import parse_network

    if (network is None) != (weights is None) or (cell is not None and network is not None):
        raise ValueError("cell, network, weights: use either --cell, or --network with --weights")
    config = load_config()
    if network is not None and weights is not None:
        parse_network(network)
        file = user_path(weights)
        chosen = network, str(file) if file.exists() else weights
    else:
        trained = parse_cell(cell or f"{config.grid.network[-1]}-{config.grid.seed[0]}")
        path = CellPaths(trained).weights
        if not path.is_file():
            raise ValueError(f"cell: {trained.name}: {path} is missing; run `make run`, or choose a trained cell")
        chosen = trained.network, str(path)
    from resgrid.exchange import predict as exchange  # imports torch

    exchange.predict(user_path(images), *chosen, user_path(into), config.augment.normalize)
