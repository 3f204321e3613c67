"""A program for test_ranks.py: score the training split with untrained weights on the devices of params.yaml."""

from pathlib import Path

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.cells import Cell
from resgrid.config.whole import load_config
from resgrid.training.build import build_training
from resgrid.training.fit import score

if __name__ == "__main__":
    card, config = DatasetCard.read(PreparedPaths().card), load_config()
    training = build_training(Cell("resnet8-A", 0), config, card, workers=0)
    measured = score(training, "train")
    if training.trainer.is_global_zero:
        Path("score.txt").write_text(f"{measured.error} {measured.images} {measured.loss:.12f}")
