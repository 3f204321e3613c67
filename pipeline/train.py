"""Pipeline stage `train`: one network with one seed, from the prepared data to weights, curve and metrics."""

from __future__ import annotations

from typing import Annotated

import typer

from resgrid.cells import Cell
from resgrid.config.machine import MachineParams
from resgrid.config.reading import load_params
from resgrid.config.train import TrainParams
from resgrid.names import parse_network
from resgrid.sources.manifest import CODE_ROOT, check_manifest, manifest_path
from resgrid.terminal import run_command


def train(
    network: Annotated[str, typer.Option(help="Network name, such as plain20 or resnet56-A.")],
    seed: Annotated[int, typer.Option(help="Seed of initial weights, order of images and augmentation.")],
) -> None:
    """Train one cell with the parameters of params.yaml; resume from a checkpoint if a usable one exists."""
    cell, config = Cell(network, seed), load_params(TrainParams)
    machine = load_params(MachineParams).machine
    manifest = check_manifest(manifest_path("train", network), CODE_ROOT, parse_network(network))
    from resgrid.training.fit import train_cell  # imports Lightning: errors above appear at once

    train_cell(cell, config, machine, manifest)


if __name__ == "__main__":
    run_command(train)
