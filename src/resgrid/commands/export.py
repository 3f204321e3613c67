"""Command: export a trained cell: ONNX, TorchScript, torch.export, safetensors, or a model in MLflow."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from resgrid.cells import parse_cell
from resgrid.config.whole import load_config
from resgrid.terminal import run_command


def export(
    cell: Annotated[str, typer.Argument(help="A trained cell, such as resnet20-A-0.")],
    form: Annotated[
        Literal["onnx", "torchscript", "torch-export", "safetensors", "mlflow"],
        typer.Option("--format", help="Of the file under exports/; mlflow: a model in the cell's MLflow run."),
    ] = "onnx",
    register: Annotated[str | None, typer.Option(help="With mlflow: a name in its model registry.")] = None,
) -> None:
    """Export a trained cell, from uint8 pixels (N, C, H, W) to logits, and check it on real test images."""
    trained, config = parse_cell(cell), load_config()
    from resgrid.exchange.export import export_cell

    export_cell(trained, form, config.augment.normalize, register)


if __name__ == "__main__":
    run_command(export)
