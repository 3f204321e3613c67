"""The content of `summary.json`: the numbers of each cell and network, for programs and `dvc metrics`."""

from __future__ import annotations

import math
from typing import Any

from resgrid.artifacts.data_card import DatasetCard
from resgrid.config.report import ReportParams
from resgrid.names import parse_network
from resgrid.reporting.results import CellResult, NetworkResult, Results


def summarize(config: ReportParams, card: DatasetCard, results: Results) -> dict[str, Any]:
    """Return errors in percent and losses in nats per image; null for unknown numbers."""
    return {
        "preset": config.preset,
        "data": {
            "name": card.name,
            "label": card.label,
            "note": card.note,
            "counts": card.counts,
            "data_hash": card.data_hash,
        },
        "cells": [_cell_summary(cell) for cell in results.all_cells],
        "networks": [_network_summary(network) for network in results.networks],
    }


def _cell_summary(cell: CellResult) -> dict[str, Any]:
    network, record = parse_network(cell.cell.network), cell.record
    return {
        "network": network.name,
        "depth": network.depth,
        "shortcut": network.shortcut,
        "seed": cell.cell.seed,
        "parameters": cell.train.parameters,
        "diverged": cell.diverged,
        **{measure: _finite(error) for measure, error in cell.errors.items()},
        "test_loss": _finite(cell.test.test_loss),
        "fingerprint": cell.train.fingerprint,
        "run_id": record.run_id if record else None,
        "commit": record.train.commit if record and record.train else None,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _network_summary(network: NetworkResult) -> dict[str, Any]:
    return {
        "network": network.name,
        "depth": network.depth,
        "shortcut": network.network.shortcut,
        "parameters": network.parameters,
        "seeds": [cell.cell.seed for cell in network.cells],
        **{
            measure: {"mean": sample.mean, "standard_deviation": sample.standard_deviation, "n": sample.n}
            for measure, sample in network.errors.items()
        },
    }
