"""The fingerprint of a cell: one hash over everything that its result is a function of: parameters, code and data."""

from __future__ import annotations

import json
from pathlib import Path

from resgrid.artifacts.data_card import DatasetCard
from resgrid.artifacts.files import sha256_of_file, sha256_of_text
from resgrid.cells import Cell
from resgrid.closure import import_closure
from resgrid.config.train import TrainParams


def cell_fingerprint(cell: Cell, config: TrainParams, card: DatasetCard, stage: Path) -> str:
    """SHA-256 over the cell, the parameters that training reads, the code that it imports, and the data's hash.

    The versions of libraries are not in it; they are recorded beside the results.

    Args:
        stage: the stage's script, where its code begins.
    """
    parts = {
        "cell": cell.name,
        "parameters": config.model_dump(mode="json", include=set(TrainParams.model_fields)),
        "code": {name: sha256_of_file(path) for name, path in import_closure(stage).items()},
        "data": card.data_hash,
    }
    return sha256_of_text(json.dumps(parts, sort_keys=True))
