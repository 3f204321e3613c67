"""Run records: the facts of an execution, and which run in MLflow has them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from resgrid.artifacts.data_card import SPLITS
from resgrid.artifacts.run_record import RunRecord, StageRecord, record_path
from resgrid.cells import Cell, parse_cell
from resgrid.sources.manifest import CODE_ROOT, Manifest, raw_hashes
from resgrid.tracking import Dataset, start_run
from resgrid.tracking.lineage import current_commit, describe_hardware, host_name, versions

_DIGEST_LETTERS = 8  # as in the digests that MLflow computes


class StageClock:
    """One execution of a pipeline stage, which begins now: its wall-clock time and its code.

    Args:
        manifest: the stage's manifest.
        root: the root of the tree that contains the code.

    Raises:
        OSError: a file of the manifest can't be read.
    """

    def __init__(self, manifest: Manifest, root: Path = CODE_ROOT) -> None:
        self._started, self._clock, self._computing = datetime.now(UTC), time.monotonic(), 0.0
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
            computing_seconds=round(self._computing, 1),
        )

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Count the time of a block as computing."""
        start = time.monotonic()
        yield
        self._computing += time.monotonic() - start


def read_record(cell: Cell, fingerprint: str) -> RunRecord | None:
    """Read a cell's record; None if this machine has no record, for example after a restore from DVC's cache.

    Raises:
        ValueError: the record is damaged.
    """
    path = record_path(cell, fingerprint)
    return RunRecord.read(path) if path.exists() else None


def dataset_of(record: RunRecord) -> Dataset | None:
    """Return the data of a cell's run; None if the record doesn't describe them."""
    if "data_hash" not in record.tags:
        return None
    counts = {split: record.params.get(f"data.{split}_images") for split in SPLITS}
    digest = record.tags["data_hash"][:_DIGEST_LETTERS]
    return Dataset(record.experiment, digest, {split: int(count) for split, count in counts.items() if count})


def end_of(stage: StageRecord) -> datetime:
    """Return the time at which an execution ended."""
    return datetime.fromisoformat(stage.started) + timedelta(seconds=stage.seconds)


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)


class CellRun:
    """A cell's run in MLflow, with its record on disk, which allows to continue the run and to send it again.

    Args:
        record: of the run up to now; `record.run_id` is the run to continue, or None to begin a new run.
        monitors: whether MLflow records the load of this machine.

    Raises:
        OSError: the record can't be written.
    """

    def __init__(self, record: RunRecord, monitors: bool = True) -> None:
        self._lock = threading.Lock()
        self._record = record
        started = _milliseconds(datetime.fromisoformat(record.train.started)) if record.train else None
        self.run = start_run(record.cell, record.experiment, record.run_id, self._opened, monitors, started)
        self.update(unsent=True, tracking_uri=self.run.tracking_uri)
        self.run.log_params(record.params)
        self.run.set_tags(record.tags)
        if (dataset := dataset_of(record)) is not None:
            self.run.log_dataset(dataset)

    @property
    def record(self) -> RunRecord:
        """The record as it is on disk."""
        return self._record

    def update(self, **changes: Any) -> None:
        """Change fields of the record.

        Raises:
            OSError: the record can't be written.
        """
        with self._lock:
            self._record = self._record.model_copy(update=changes)
            self._record.write(record_path(parse_cell(self._record.cell), self._record.fingerprint))

    def finish(self, status: str = "FINISHED") -> None:
        """End the run as FINISHED, FAILED or KILLED.

        The run's end is that of its training, however late the cell is evaluated.

        Raises:
            OSError: the record can't be written.
        """
        trained = self._record.train
        ended = _milliseconds(end_of(trained)) if trained else None
        self.update(unsent=not self.run.finish(status, ended))

    def _opened(self, run_id: str) -> None:
        self.update(run_id=run_id)
