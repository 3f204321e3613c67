"""Command `evaluate-weights`: test any weights file on any prepared data set, or on a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from resgrid.commands.repository import user_path


def evaluate_weights(
    network: Annotated[str, typer.Option(help="Network, such as resnet56-A.")],
    weights: Annotated[str, typer.Option(help="File, or torchvision's name: ResNet50_Weights.IMAGENET1K_V1.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Prepared data, or a folder of images, <class>/*.  [default: data/prepared]"),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of prepared data: train, val or test.")] = "test",
    normalize: Annotated[
        Literal["per_pixel_mean", "channel"] | None,
        typer.Option(help="Statistics of the prepared data.  [default: as the file's header or params.yaml says]"),
    ] = None,
    mean: Annotated[str | None, typer.Option(help="Means by channel instead, such as 0.485,0.456,0.406.")] = None,
    std: Annotated[str | None, typer.Option(help="Standard deviations by channel, with --mean.")] = None,
    transforms: Annotated[
        str | None, typer.Option(help="Torchvision weights whose transforms a folder of images gets.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images per batch.", min=1)] = 100,
) -> None:
    """Test any weights file: error, loss, errors by class.

    Code in the file is never run.

    \b
    Examples:
      resgrid evaluate-weights --network resnet20-A --weights resnet20.th
      resgrid evaluate-weights --network torchvision-resnet50 \\
          --weights ResNet50_Weights.IMAGENET1K_V1 --data imagenet/val
    """
    from resgrid.artifacts.data_card import PREPARED
    from resgrid.config.whole import load_config
    from resgrid.data.reading.normalization import given_normalization
    from resgrid.names import parse_network

    parse_network(network)
    default = load_config().augment.normalize
    given = given_normalization(mean, std)
    if normalize and given:
        raise ValueError(f"normalize: {normalize}: mean and std are given too; use either")
    file = user_path(weights)
    from resgrid.exchange import evaluate_weights as exchange  # imports torch

    exchange.evaluate_weights(
        network,
        str(file) if file.exists() else weights,
        user_path(data) if data else PREPARED,
        split,
        normalize or given,
        transforms,
        batch_size,
        default,
    )
