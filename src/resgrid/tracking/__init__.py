"""Tracking: each cell is one MLflow run. The only package that imports mlflow, and resgrid works without it.

MLflow is a view. No pipeline stage reads it back: files are the truth.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from resgrid.terminal import console


class Run(Protocol):
    """One cell's run, open for logging."""

    @property
    def run_id(self) -> str | None: ...

    @property
    def tracking_uri(self) -> str | None: ...

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record what the run was given. Called again on a resumed run it must bring the same values."""
        ...

    def set_tags(self, tags: Mapping[str, str]) -> None: ...

    def log_metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record the values of a step. A step that the run already holds is not logged twice."""
        ...

    def log_file(self, path: Path) -> None:
        """Attach a copy of a file."""
        ...

    def log_text(self, name: str, text: str) -> None:
        """Attach a text file."""
        ...

    def log_figure(self, name: str, png: bytes) -> None:
        """Attach a picture under `figures/`."""
        ...

    def finish(self, status: str = "FINISHED") -> None:
        """Close the run: FINISHED, FAILED or KILLED."""
        ...


class Untracked:
    """A run that nobody records: MLflow is not installed, or this process is not the first of its training."""

    run_id = None
    tracking_uri = None

    def log_params(self, params: Mapping[str, object]) -> None: ...

    def set_tags(self, tags: Mapping[str, str]) -> None: ...

    def log_metrics(self, step: int, values: Mapping[str, float]) -> None: ...

    def log_file(self, path: Path) -> None: ...

    def log_text(self, name: str, text: str) -> None: ...

    def log_figure(self, name: str, png: bytes) -> None: ...

    def finish(self, status: str = "FINISHED") -> None: ...


def start_run(name: str, experiment: str, run_id: str | None) -> Run:
    """Open a cell's run.

    Args:
        name: of the cell.
        experiment: under which MLflow lists the run: the data set's label.
        run_id: of the run to go on with; if it is None or no longer there, a new one begins.

    Raises:
        ValueError: the server of `MLFLOW_TRACKING_URI` doesn't answer.
    """
    if importlib.util.find_spec("mlflow") is None:
        console.print(
            "MLflow is not installed: this run is not tracked; its files under runs/ are complete all the same"
        )
        return Untracked()
    from resgrid.tracking.mlflow_run import MlflowRun  # mlflow takes two seconds to import

    return MlflowRun.start(name, experiment, run_id)
