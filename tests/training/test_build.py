"""Parameters that don't fit the images are refused before any process is started."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.cells import Cell
from resgrid.config.whole import load_config
from resgrid.training.build import build_training
from support.prepared_data import make_prepared_cell


@pytest.mark.parametrize(("split", "name"), [("train", "training"), ("val", "validation")])
def test_each_rank_needs_an_image_of_each_split(
    split: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rank without images would make no forward pass, and the other ranks would wait for it forever."""
    monkeypatch.chdir(tmp_path)
    make_prepared_cell()
    paths = PreparedPaths()
    for path in (paths.images(split), paths.labels(split)):
        np.save(path, np.load(path)[:2])
    changes = {"train.devices": 3, "train.batch_size": 3, "train.threads": 1}
    config = load_config(Path(__file__).parents[2] / "presets/cifar10-jpeg.yaml", changes)
    message = (
        f"^train.devices × train.num_nodes: 3: more ranks than {name} images, 2; use fewer devices, or more images"
    )
    with pytest.raises(ValueError, match=message):
        build_training(Cell("resnet8-A", 0), config, DatasetCard.read(paths.card), workers=0)
