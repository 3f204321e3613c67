"""Run records: how one execution of a pipeline stage becomes a file below the state folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from resgrid.artifacts.run_record import RunRecord, StageRecord, record_path
from resgrid.cells import Cell
from resgrid.sources.manifest import CODE_ROOT, Manifest, raw_hashes
from resgrid.tracking import Run
from resgrid.tracking.lineage import current_commit, describe_hardware, host_name, versions


class StageClock:
    """One execution of a pipeline stage, which begins now: its wall-clock time and its code.

    Args:
        manifest: the stage's manifest.
        root: the root of the tree that contains the code.

    Raises:
        OSError: a file of the manifest can't be read.
    """

    def __init__(self, manifest: Manifest, root: Path = CODE_ROOT) -> None:
        self._started, self._clock = datetime.now(UTC), time.monotonic()
        self._code = raw_hashes(root, manifest["files"])

    def record(
        self,
        *,
        devices: int,
        threads: int,
        precision: str,
        images_per_second: float | None = None,
        resumed_from: Sequence[int] = (),
    ) -> StageRecord:
        """Describe the execution up to now; `StageRecord` defines the arguments."""
        return StageRecord(
            started=self._started.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - self._clock, 1),
            images_per_second=images_per_second,
            resumed_from=list(resumed_from),
            commit=current_commit(),
            host=host_name(),
            hardware=describe_hardware(),
            devices=devices,
            threads=threads,
            precision=precision,
            versions=versions(),
            code=self._code,
        )


def read_record(cell: Cell, fingerprint: str) -> RunRecord | None:
    """Read a cell's record; None if this machine has no record, for example after a restore from DVC's cache.

    Raises:
        ValueError: the record is damaged.
    """
    path = record_path(cell, fingerprint)
    return RunRecord.read(path) if path.exists() else None


def write_record(
    cell: Cell,
    fingerprint: str,
    run: Run,
    train: StageRecord | None = None,
    evaluate: StageRecord | None = None,
) -> None:
    """Write a cell's record.

    Raises:
        OSError: the file can't be written.
    """
    RunRecord(
        cell=cell.name,
        fingerprint=fingerprint,
        run_id=run.run_id,
        tracking_uri=run.tracking_uri,
        train=train,
        evaluate=evaluate,
    ).write(record_path(cell, fingerprint))
