"""Command: what networks cost: layers, parameters, multiply-adds, kept activations, receptive fields."""

from __future__ import annotations

from typing import Annotated

import typer

from resgrid.config.whole import load_config
from resgrid.terminal import run_command


def complexity(
    network: Annotated[
        list[str] | None, typer.Argument(help="Names such as resnet56-A; none: the networks of params.yaml's grid.")
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Its size, such as 3x32x32; by default the prepared data's.")
    ] = None,
    classes: Annotated[int | None, typer.Option(help="Width of the output; by default the data's.", min=1)] = None,
    layers: Annotated[bool, typer.Option("--layers", help="For each network, a table with a row per layer.")] = False,
    paper: Annotated[bool, typer.Option("--paper", help="The numbers that the paper prints, beside ours.")] = False,
    exercises: Annotated[bool, typer.Option("--exercises", help="The field's counting exercises, exactly.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The networks' counts as JSON, on standard output.")] = False,
) -> None:
    """Count networks exactly, for one image: weighted layers (projections not counted), parameters, multiply-adds of
    convolutions and linear layers, what a training step keeps in fp32, the receptive field of the last convolution."""
    names = network or ([] if paper or exercises else load_config().grid.network)
    from resgrid.complexity import count_all, print_counts, print_exercises, print_json, print_paper  # imports torch

    if names:
        size, costs = count_all(names, image, classes)
        if json:
            print_json(costs)
        else:
            print_counts(size, costs, layers)
    if paper:
        print_paper()
    if exercises:
        print_exercises()


if __name__ == "__main__":
    run_command(complexity)
