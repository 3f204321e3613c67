"""Command `register-champion`: register the cell with the lowest validation error in MLflow."""

from __future__ import annotations


def register_champion() -> None:
    """Register the best cell by validation error in MLflow.

    The registered model has the data set's name, and its newest version the alias `champion`. Test errors have no
    influence on the choice.

    \b
    Examples:
      resgrid register-champion
    """
    from resgrid.config.whole import load_config

    config = load_config()
    from resgrid.exchange.champion import register_champion as register  # imports torch

    register(config.grid.cells, config.data.name, config.augment.normalize, config.evaluate.views)
