"""Pipeline stage `train`: one network with one seed, from the prepared data to weights, curve and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resgrid.cells import Cell
from resgrid.config.machine import MachineParams
from resgrid.config.reading import load_params
from resgrid.config.train import TrainParams
from resgrid.terminal import run_command


def train(
    network: Annotated[str, typer.Option(help="Network name, such as plain20 or resnet56-A.")],
    seed: Annotated[int, typer.Option(help="Seed of initialization, order and augmentation.")],
) -> None:
    """Train one cell as params.yaml says; goes on from a checkpoint if one fits."""
    cell, config = Cell(network, seed), load_params(TrainParams)
    machine = load_params(MachineParams).machine
    from resgrid.training.fit import train_cell  # imports Lightning: mistakes above are answered at once

    train_cell(cell, config, machine, Path(__file__))


if __name__ == "__main__":
    run_command(train)
