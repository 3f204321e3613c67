"""Executions of the cells' pipeline stages by machine, commit and versions, and links to their runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from resgrid.artifacts.run_record import RunRecord, StageRecord
from resgrid.reporting.results import CellResult

_IN_COMMON = {"commit", "hardware", "devices", "threads", "precision", "versions"}


@dataclass(frozen=True)
class Executions:
    """Cells whose executions of one pipeline stage differ only in time; `record` is the first one's."""

    stage: str
    cells: tuple[CellResult, ...]
    record: StageRecord


def group_executions(cells: Iterable[CellResult]) -> list[Executions]:
    """Group the recorded executions by machine, commit and versions, the largest group first."""
    groups: dict[str, list[tuple[str, StageRecord, CellResult]]] = {}
    for cell in cells:
        for stage in ("train", "evaluate"):
            executed = getattr(cell.record, stage, None)
            if executed is not None:
                key = f"{stage} {executed.model_dump_json(include=_IN_COMMON)}"
                groups.setdefault(key, []).append((stage, executed, cell))
    executions = [
        Executions(stage=group[0][0], record=group[0][1], cells=tuple(cell for _, _, cell in group))
        for group in groups.values()
    ]
    return sorted(executions, key=lambda each: -len(each.cells))


def run_url(record: RunRecord) -> str | None:
    """Return the run's page on a tracking server, without credentials; None for a local store."""
    if record.run_id is None or record.tracking_uri is None:
        return None
    parts = urlsplit(record.tracking_uri)
    if parts.scheme not in ("http", "https"):
        return None
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, f"{parts.path.rstrip('/')}/", "", f"/runs/{record.run_id}"))
