"""The tags of runs in MLflow: their names, and the tags of a cell."""

from __future__ import annotations

import os

from resgrid.artifacts.data_card import DatasetCard
from resgrid.cells import Cell
from resgrid.config.reading import PARAMS_FILE, read_params
from resgrid.names import parse_network
from resgrid.tracking.lineage import current_commit, describe_hardware

# What a run is: see the constants below. Sweeps and searches have their own.
TYPE = "type"
CELL, TRIAL, NETWORK = "cell", "trial", "network"

# Whether the run's results are the newest of its cell.
STATE = "state"
CURRENT, SUPERSEDED, FAILED = "current", "superseded", "failed"

COLOR = "mlflow.runColor"
NOTE = "mlflow.note.content"
PARENT = "mlflow.parentRunId"
SOURCE = "mlflow.source.name"
SEARCH = "resgrid search"


def cell_tags(cell: Cell, card: DatasetCard, fingerprint: str) -> dict[str, str]:
    """Return the tags of a cell's run, by which MLflow's pages filter, group and color runs."""
    network = parse_network(cell.network)
    commit = current_commit() or "unknown"
    tags = {
        TYPE: CELL,
        STATE: CURRENT,
        "cell": cell.name,
        "network": cell.network,
        "family": network.module,
        "kind": network.kind,
        "depth": "unknown" if network.depth is None else str(network.depth),
        "shortcut": network.shortcut,
        "seed": str(cell.seed),
        "data": card.label,
        "data_hash": card.data_hash,
        "fingerprint": fingerprint,
        "hardware": describe_hardware(),
        "commit": commit,
        "mlflow.source.git.commit": commit,
    }
    optional = {"preset": _preset(), "experiment": os.environ.get("DVC_EXP_NAME", "")}
    return tags | {name: value for name, value in optional.items() if value}


def _preset() -> str:
    """Return the preset in params.yaml; empty in the work directory of a sweep, whose run has the tag instead."""
    return str(read_params(PARAMS_FILE).get("preset") or "") if PARAMS_FILE.is_file() else ""
