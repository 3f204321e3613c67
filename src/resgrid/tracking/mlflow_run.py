"""A run in an MLflow store. Calls wait for the store and raise its errors; `resgrid.tracking.queue` hides both."""

from __future__ import annotations

import getpass
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from resgrid.tracking import PARENT_RUN, Dataset
from resgrid.tracking.abandoned import PROCESS, end_abandoned_runs, this_process
from resgrid.tracking.store import experiment_id, open_client, tracking_uri
from resgrid.tracking.tags import PARENT, SEARCH, SOURCE, TRIAL, TYPE

# The order matters: `store` sets what mlflow reads when it is imported.
from mlflow import MlflowClient  # isort: skip
from mlflow.entities import Dataset as MlflowDataset  # isort: skip
from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Metric, Param, RunTag  # isort: skip
from mlflow.exceptions import MlflowException  # isort: skip
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor  # isort: skip

SYSTEM_METRICS_SECONDS = 5

# The store answered, and would give the same answer again.
_PERMANENT = ("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "PERMISSION_DENIED", "RESOURCE_DOES_NOT_EXIST")

METRICS_AT_ONCE = 1000  # MLflow's limit


class Point(NamedTuple):
    """A value of a metric at a step, with its time in milliseconds since 1970."""

    key: str
    step: int
    value: float
    time: int


class MlflowRun:
    """See `resgrid.tracking.Run`.

    Raises:
        Exception: of any kind, by MLflow, SQLAlchemy or a database's driver, if the store fails.
    """

    def __init__(self, client: MlflowClient, run_id: str, monitors: bool) -> None:
        self._client, self.run_id = client, run_id
        self._inherited = _inherited_tags(client, os.environ.get(PARENT_RUN))
        self.set_tags({})
        self._logged = self._points_in_store()
        logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)
        self._monitor = SystemMetricsMonitor(
            run_id,
            sampling_interval=SYSTEM_METRICS_SECONDS,
            resume_logging=True,
            tracking_uri=tracking_uri(),
        )
        if monitors:
            self._monitor.start()

    @classmethod
    def start(cls, name: str, experiment: str, run_id: str | None, monitors: bool, started: int | None = None) -> Self:
        """Continue a run, or create one if `run_id` is None or names no run, and end runs of dead processes.

        Args:
            monitors: whether system metrics of this machine are recorded.
            started: start of a new run in milliseconds since 1970; None for now.
        """
        client = open_client()
        if run_id is not None and _is_active(client, run_id):
            client.update_run(run_id, status="RUNNING")
            client.set_tag(run_id, PROCESS, this_process())
        else:
            tags = {"mlflow.source.type": "LOCAL", "mlflow.user": _user(), PROCESS: this_process()}
            created = client.create_run(experiment_id(client, experiment), started, tags, run_name=name)
            run_id = str(created.info.run_id)
        end_abandoned_runs(client, [client.get_run(run_id).info.experiment_id])
        return cls(client, run_id, monitors)

    def log_params(self, params: Mapping[str, object]) -> None:
        self._client.log_batch(self.run_id, params=[Param(key, str(value)) for key, value in params.items()])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        tags = {**tags, **self._inherited}
        self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def log_dataset(self, dataset: Dataset) -> None:
        profile = json.dumps(dict(dataset.counts))
        stored = MlflowDataset(
            dataset.name, dataset.digest, "local", json.dumps({"uri": "data/prepared"}), None, profile
        )
        inputs = [DatasetInput(stored, [InputTag("mlflow.data.context", "training, validation and test")])]
        self._client.log_inputs(self.run_id, inputs)

    def log_model(self, name: str, dataset: Dataset | None, metrics: Mapping[str, float]) -> None:
        """Create a logged model without files: `catch_up` adds its weights."""
        run, name = self._client.get_run(self.run_id), name.replace(".", "-")
        outputs = run.outputs.model_outputs if run.outputs is not None else []
        if any(self._client.get_logged_model(output.model_id).name == name for output in outputs):
            return
        model = self._client.create_logged_model(
            run.info.experiment_id, name, self.run_id, params=run.data.params, model_type="classifier"
        )
        now = int(time.time() * 1000)
        data = (dataset.name, dataset.digest) if dataset else (None, None)
        points = [Metric(key, value, now, 0, model.model_id, *data, self.run_id) for key, value in metrics.items()]
        self._client.log_batch(self.run_id, metrics=points)
        self._client.finalize_logged_model(model.model_id, "READY")
        self._client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, 0)])

    def log_points(self, points: Sequence[Point]) -> None:
        """Record values; those of a key and step that the run already holds are not logged twice."""
        by_step = {(point.key, point.step): point for point in points}
        new = [point for key_and_step, point in by_step.items() if key_and_step not in self._logged]
        for start in range(0, len(new), METRICS_AT_ONCE):
            batch = new[start : start + METRICS_AT_ONCE]
            metrics = [Metric(point.key, point.value, point.time, point.step) for point in batch]
            self._client.log_batch(self.run_id, metrics=metrics)
            self._logged.update((point.key, point.step) for point in batch)

    def log_file(self, path: Path) -> None:
        self._client.log_artifact(self.run_id, str(path))

    def log_text(self, name: str, text: str) -> None:
        self._client.log_text(self.run_id, text, name)

    def finish(self, status: str, ended: int | None) -> None:
        self._monitor.finish()
        self._client.set_terminated(self.run_id, status, ended)

    def _points_in_store(self) -> set[tuple[str, int]]:
        """The keys and steps that a resumed run holds: the steps after its checkpoint are computed again."""
        keys = self._client.get_run(self.run_id).data.metrics
        return {
            (key, metric.step)
            for key in keys
            if not key.startswith("system/")
            for metric in self._client.get_metric_history(self.run_id, key)
        }


def is_permanent(error: Exception) -> bool:
    """Tell whether a call that failed would fail again."""
    return isinstance(error, MlflowException) and error.error_code in _PERMANENT


def _is_active(client: MlflowClient, run_id: str) -> bool:
    try:
        return client.get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException as error:
        if is_permanent(error):
            return False
        raise


def _inherited_tags(client: MlflowClient, parent: str | None) -> dict[str, str]:
    """Return the tags that the run of a sweep or a search gives to the runs of its cells or trials."""
    if not parent:
        return {}
    given = client.get_run(parent).data.tags if _is_active(client, parent) else {}
    tags = {PARENT: parent} | ({"preset": given["preset"]} if "preset" in given else {})
    return tags | ({TYPE: TRIAL, "search": parent} if given.get(SOURCE) == SEARCH else {"sweep": parent})


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user can be without a name
        return "unknown"
