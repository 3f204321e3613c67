"""Pipeline stage `evaluate`: one trained cell on the test split."""

from __future__ import annotations

from typing import Annotated

import typer

from resgrid.cells import Cell
from resgrid.config.evaluate import EvaluateParams
from resgrid.config.machine import MachineParams
from resgrid.config.reading import load_params
from resgrid.names import parse_network
from resgrid.sources.manifest import CODE_ROOT, check_manifest, manifest_path
from resgrid.terminal import run_command


def evaluate(
    network: Annotated[str, typer.Option(help="Network name, such as plain20 or resnet56-A.")],
    seed: Annotated[int, typer.Option(help="Seed of the trained cell.")],
) -> None:
    """Evaluate one trained cell on the test split, and write runs/<network>-<seed>."""
    cell, config = Cell(network, seed), load_params(EvaluateParams)
    workers = load_params(MachineParams).machine.workers
    manifest = check_manifest(manifest_path("evaluate", network), CODE_ROOT, parse_network(network))
    from resgrid.evaluation.evaluate import evaluate_cell  # imports torch: errors above appear at once

    evaluate_cell(cell, config.evaluate, config.augment, workers, manifest)


if __name__ == "__main__":
    run_command(evaluate)
