"""What the fingerprint of a cell is a function of."""

from __future__ import annotations

from pathlib import Path

from resgrid.artifacts.data_card import DatasetCard
from resgrid.cells import Cell
from resgrid.config.reading import load_params
from resgrid.config.train import TrainParams
from resgrid.sources.manifest import Manifest
from resgrid.training.fingerprint import cell_fingerprint

PARAMS = Path(__file__).parents[2] / "presets/digits.yaml"


def test_the_number_of_ranks_is_part_of_the_fingerprint() -> None:
    """The file contains `train.devices: auto` for any number of GPUs."""
    config = load_params(TrainParams, PARAMS)
    assert config.train.devices == "auto"
    card = DatasetCard(
        name="digits",
        label="Digits",
        note="",
        shape=(1, 8, 8),
        classes=["0", "1"],
        counts={},
        channel_mean=[0.3],
        channel_std=[1.0],
        sha256={},
    )
    manifest = Manifest(stage="train", packages={}, files={})
    one, two, again = (cell_fingerprint(Cell("plain8", 0), config, card, manifest, ranks) for ranks in (1, 2, 1))
    assert one == again
    assert one != two
