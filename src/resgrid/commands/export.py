"""Command `export`: write a trained cell for other programs."""

from __future__ import annotations

from typing import Annotated, Literal

import typer


def export(
    cell: Annotated[str, typer.Argument(help="Trained cell, such as resnet20-A-0.")],
    form: Annotated[
        Literal["onnx", "torchscript", "torch-export", "safetensors", "mlflow"],
        typer.Option("--format", help="Format; mlflow adds a model to the cell's run, others a file to exports/."),
    ] = "onnx",
    register: Annotated[str | None, typer.Option(help="Name in MLflow's model registry, with mlflow.")] = None,
) -> None:
    """Export a trained cell for other programs, and check it.

    The model maps uint8 pixels (N, C, H, W) to logits. It is compared with the cell on real test images.

    \b
    Examples:
      resgrid export resnet20-A-0
      resgrid export resnet20-A-0 --format mlflow --register digits
    """
    from resgrid.cells import parse_cell
    from resgrid.config.whole import load_config

    trained, config = parse_cell(cell), load_config()
    from resgrid.exchange.export import export_cell  # imports torch

    export_cell(trained, form, config.augment.normalize, config.evaluate.views, register)
