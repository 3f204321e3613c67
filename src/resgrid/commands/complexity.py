"""Command `complexity`: count layers, parameters, multiply-adds, activations and receptive fields of networks."""

from __future__ import annotations

from typing import Annotated

import typer


def complexity(
    network: Annotated[
        list[str] | None, typer.Argument(help="Networks, such as resnet56-A.  [default: the grid's]")
    ] = None,
    image: Annotated[
        str | None, typer.Option(help="Image size, such as 3x32x32.  [default: the prepared data's]")
    ] = None,
    classes: Annotated[int | None, typer.Option(help="Classes.  [default: the prepared data's]", min=1)] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Print a row per layer.")] = False,
    paper: Annotated[bool, typer.Option("--paper", help="Compare with the numbers that the paper prints.")] = False,
    exercises: Annotated[bool, typer.Option("--exercises", help="Solve the field's counting exercises.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Count layers, parameters and multiply-adds of networks.

    Counts are exact, for one image. Layers are those with weights, without projection shortcuts. Multiply-adds are
    those of convolutions and linear layers. The table also shows the activations that a training step keeps in fp32,
    and the last convolution's receptive field.

    \b
    Examples:
      resgrid complexity resnet56-A plain56 --image 3x32x32 --classes 10
      resgrid complexity resnet20-A --layers
      resgrid complexity --paper
    """
    from resgrid.config.whole import load_config

    names = network or ([] if paper or exercises else load_config().grid.network)
    from resgrid.commands.complexity_tables import (  # imports torch
        count_all,
        print_counts,
        print_exercises,
        print_json,
        print_paper,
    )

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
