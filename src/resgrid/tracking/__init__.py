"""Tracking: each cell is one run in MLflow. Only this package imports mlflow, and resgrid works without mlflow.

MLflow is a view: no pipeline stage reads from it, and its failures change neither results nor exit statuses.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from resgrid.terminal import console

# The folder of the embedded store, which is used without `MLFLOW_TRACKING_URI`.
EMBEDDED = Path(os.environ.get("RESGRID_TRACKING", "mlruns"))

# A sweep names its own run in this variable: the runs of its cells are its children.
PARENT_RUN = "RESGRID_PARENT_RUN"


class Dataset(NamedTuple):
    """The data of a run, as MLflow lists data sets.

    Attributes:
        name: label of the data set.
        digest: first letters of the hash of the prepared arrays.
        counts: images by split.
    """

    name: str
    digest: str
    counts: Mapping[str, int]


class Run(Protocol):
    """An open run. Only `run_id` and `finish` wait for the store, for a limited time, and nothing raises its errors."""

    @property
    def run_id(self) -> str | None:
        """The run's id; None without a store."""
        ...

    @property
    def tracking_uri(self) -> str | None:
        """The URI of the server or database, without a password; None for the embedded store and without a store."""
        ...

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record what the run was given. A resumed run can record the same values again, but not other values."""
        ...

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; later values replace earlier ones."""
        ...

    def log_dataset(self, dataset: Dataset) -> None:
        """Record the data of the run; the same data are recorded once."""
        ...

    def log_metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record the values of a step. Values that the run already holds for the step are not recorded twice."""
        ...

    def log_model(self, name: str, dataset: Dataset | None, metrics: Mapping[str, float]) -> None:
        """Record the run's model with its parameters, its metrics and their data set; only the first call counts.

        The metrics, at step 0, are also the run's.
        """
        ...

    def log_file(self, path: Path) -> None:
        """Attach a copy of a file, which must stay until `finish`."""
        ...

    def log_text(self, name: str, text: str) -> None:
        """Attach a text file."""
        ...

    def finish(self, status: str = "FINISHED", ended: int | None = None) -> bool:
        """End the run as FINISHED, FAILED or KILLED; tell whether the store received everything.

        Args:
            ended: end of the run in milliseconds since 1970; None for now.
        """
        ...


class Untracked:
    """A run without a store: mlflow is not installed, or this process is not the first rank of its training."""

    run_id = None
    tracking_uri = None

    def log_params(self, params: Mapping[str, object]) -> None: ...

    def set_tags(self, tags: Mapping[str, str]) -> None: ...

    def log_dataset(self, dataset: Dataset) -> None: ...

    def log_metrics(self, step: int, values: Mapping[str, float]) -> None: ...

    def log_model(self, name: str, dataset: Dataset | None, metrics: Mapping[str, float]) -> None: ...

    def log_file(self, path: Path) -> None: ...

    def log_text(self, name: str, text: str) -> None: ...

    def finish(self, status: str = "FINISHED", ended: int | None = None) -> bool:
        return False


def start_run(
    name: str,
    experiment: str,
    run_id: str | None,
    on_open: Callable[[str], None] | None = None,
    monitors: bool = True,
    started: int | None = None,
) -> Run:
    """Open a run.

    Args:
        name: of the cell, for example.
        experiment: under which MLflow lists the run: the data set's label.
        run_id: of the run to continue; if it is None or deleted, a new run begins.
        on_open: called with the run's id as soon as the store has opened the run, in another thread.
        monitors: whether system metrics of this machine are recorded.
        started: start of a new run in milliseconds since 1970; None for now.
    """
    if importlib.util.find_spec("mlflow") is None:
        console.print("mlflow is not installed: the run is not tracked; its files under runs/ are complete")
        return Untracked()
    from resgrid.tracking.mlflow_run import MlflowRun  # mlflow takes two seconds to import
    from resgrid.tracking.queue import QueuedRun

    return QueuedRun(lambda: MlflowRun.start(name, experiment, run_id, monitors, started), on_open)
