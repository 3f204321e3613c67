"""Run records: facts of single executions, which DVC does not hash."""

from __future__ import annotations

from pathlib import Path

from resgrid.artifacts.files import JsonRecord, state_folder
from resgrid.cells import Cell


class StageRecord(JsonRecord):
    """One execution of a pipeline stage for a cell.

    Attributes:
        started: ISO 8601, UTC.
        seconds: wall time of the whole stage.
        images_per_second: of the training loop; None for evaluation.
        resumed_from: steps from which the run resumed; empty for an uninterrupted run.
        commit: commit of the repository, with `-dirty` if files differed from it; None outside a git repository.
        hardware: name of the processor or accelerator.
        devices: number of computing processes, one per device.
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
    """`<state>/records/<cell>-<fingerprint>.json`: the origin of a cell's results, which DVC doesn't hash.

    Attributes:
        run_id: ID of the MLflow run; None if tracking was off.
        tracking_uri: MLflow's URI of the run's store.
    """

    cell: str
    fingerprint: str
    run_id: str | None
    tracking_uri: str | None
    train: StageRecord | None = None
    evaluate: StageRecord | None = None


def record_path(cell: Cell, fingerprint: str) -> Path:
    """Return the path of a cell's run record."""
    return state_folder() / "records" / f"{cell.name}-{fingerprint[:16]}.json"
