"""Run records: facts of single executions, which DVC does not hash."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from resgrid.artifacts.files import JsonRecord, state_folder
from resgrid.cells import Cell


class StageRecord(JsonRecord):
    """The facts of one execution of a pipeline stage for a cell.

    Attributes:
        started: ISO 8601, UTC.
        seconds: wall-clock time of the whole stage.
        computing_seconds: of it, the steps, validations and measurements; None in records of earlier versions.
        images_per_second: of the training loop; None for evaluation.
        resumed_from: steps of the checkpoints from which the run resumed; empty for an uninterrupted run.
        commit: the repository's commit, with `-dirty` if code or parameters differed from it; None outside git.
        hardware: description of the processor or the accelerators.
        devices: processes that computed, one for each device.
        versions: of Python and of the packages that compute.
        code: SHA-256 of the bytes of each file in the stage's manifest, by its path.
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
    code: dict[str, str] = Field(default_factory=dict)
    computing_seconds: float | None = None


class RunRecord(JsonRecord):
    """`<state>/records/<cell>-<fingerprint>.json`: the provenance of a cell's results, and its run in MLflow.

    Attributes:
        run_id: of the MLflow run; None without tracking.
        tracking_uri: of the tracking server or database; None for the embedded store.
        experiment: under which MLflow lists the run: the data set's label.
        params: the run's parameters in MLflow.
        tags: the run's tags in MLflow.
        unsent: whether MLflow may lack a part of the run.
        has_figures: whether the run has its figures, which are drawn later.
    """

    cell: str
    fingerprint: str
    run_id: str | None
    tracking_uri: str | None
    experiment: str = ""
    params: dict[str, str] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)
    unsent: bool = False
    has_figures: bool = False
    train: StageRecord | None = None
    evaluate: StageRecord | None = None


def record_path(cell: Cell, fingerprint: str) -> Path:
    """Return the path of a cell's run record."""
    return state_folder() / "records" / f"{cell.name}-{fingerprint[:16]}.json"
