"""Run records: facts of single executions, which DVC does not hash."""

from __future__ import annotations

from pathlib import Path

from resgrid.artifacts.files import JsonRecord, state_folder
from resgrid.cells import Cell


class StageRecord(JsonRecord):
    """One execution of a stage for a cell: what is true of that occasion alone.

    Attributes:
        started: ISO 8601, UTC.
        seconds: wall time of the whole stage.
        images_per_second: of the training loop; None for evaluation.
        resumed_from: steps at which checkpoints were taken up; empty for an uninterrupted run.
        commit: of the repository, with `-dirty` if files differed from it; None outside a git repository.
        hardware: processor or accelerator, in words.
        devices: processes that computed, one for each device.
        versions: of Python and the packages that compute.
    """

    started: str
    seconds: float
    images_per_second: float | None
    resumed_from: list[int]
    commit: str | None
    host: str
    hardware: str
    devices: int
    threads: int
    precision: str
    versions: dict[str, str]


class RunRecord(JsonRecord):
    """`<state>/records/<cell>-<fingerprint>.json`: the lineage of a cell's numbers, which DVC doesn't hash.

    Attributes:
        run_id: of the MLflow run; None where tracking was off.
        tracking_uri: where that run is.
    """

    cell: str
    fingerprint: str
    run_id: str | None
    tracking_uri: str | None
    train: StageRecord | None = None
    evaluate: StageRecord | None = None


def record_path(cell: Cell, fingerprint: str) -> Path:
    return state_folder() / "records" / f"{cell.name}-{fingerprint[:16]}.json"
