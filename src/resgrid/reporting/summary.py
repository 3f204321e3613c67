"""The contents of `summary.json` (cells and networks, for `dvc metrics`) and of `verdicts.json`, for programs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from resgrid.artifacts.data_card import DatasetCard
from resgrid.config.report import ReportParams
from resgrid.names import parse_network
from resgrid.reporting.results import CellResult, NetworkResult, Results
from resgrid.reporting.verdicts import Evidence, Verdict


def summarize(config: ReportParams, card: DatasetCard, results: Results) -> dict[str, Any]:
    """Return errors in percent and losses in nats per image; null for unknown numbers."""
    return {
        **_experiment(config, card),
        "cells": [_cell_summary(cell) for cell in results.all_cells],
        "networks": [_network_summary(network) for network in results.networks],
    }


def summarize_verdicts(config: ReportParams, card: DatasetCard, verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """Return each verdict with its evidence: estimate, unit, interval (two ends or null), p, n (seeds) and cells."""
    return {**_experiment(config, card), "verdicts": [_verdict_summary(verdict) for verdict in verdicts]}


def _experiment(config: ReportParams, card: DatasetCard) -> dict[str, Any]:
    return {
        "preset": config.preset,
        "data": {
            "name": card.name,
            "label": card.label,
            "note": card.note,
            "counts": card.counts,
            "data_hash": card.data_hash,
        },
    }


def _verdict_summary(verdict: Verdict) -> dict[str, Any]:
    return {**asdict(verdict), "evidence": [_evidence_summary(item) for item in verdict.evidence]}


def _evidence_summary(evidence: Evidence) -> dict[str, Any]:
    fields = asdict(evidence)
    return {"quantity": fields.pop("label"), "estimate": fields.pop("value"), "n": evidence.n, **fields}


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
        "carried_over": cell.carried_over,
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
