"""The fingerprint of a cell: one hash of everything that its result is a function of."""

from __future__ import annotations

import json

from resgrid.artifacts.data_card import DatasetCard
from resgrid.artifacts.files import sha256_of_text
from resgrid.cells import Cell
from resgrid.config.train import TrainParams
from resgrid.sources.manifest import Manifest


def cell_fingerprint(cell: Cell, config: TrainParams, card: DatasetCard, manifest: Manifest, ranks: int) -> str:
    """Return the SHA-256 of the cell, the parameters that training reads, its manifest, the data's hash and the ranks.

    The section `machine` is not part of the parameters, because it can't change a result.

    Args:
        manifest: digests of the code that trains the cell's network, and versions of the packages that compute.
        ranks: processes of the training, on which batch normalization depends; `train.devices: auto` is a number here.
    """
    parts = {
        "cell": cell.name,
        "parameters": config.model_dump(mode="json", include=set(TrainParams.model_fields)),
        "manifest": manifest,
        "data": card.data_hash,
        "ranks": ranks,
    }
    return sha256_of_text(json.dumps(parts, sort_keys=True))
