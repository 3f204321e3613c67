"""A program for test_ranks.py: scores the training split with untrained weights on the devices of params.yaml."""

from pathlib import Path

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.cells import Cell
from resgrid.config.whole import load_config
from resgrid.training.fit import Training

if __name__ == "__main__":
    card = DatasetCard.read(PreparedPaths().card)
    config = load_config()
    training = Training(Cell("resnet8-A", 0), config, config.machine, card, fingerprint="0" * 64)
    score = training.score("train")
    training.run.finish()
    if training.trainer.is_global_zero:
        Path("score.txt").write_text(f"{score.error} {score.images} {score.loss:.12f}")
