"""A cell's run in MLflow."""

from __future__ import annotations

import getpass
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from resgrid.terminal import console
from resgrid.tracking.store import experiment_id, open_client, tracking_uri

# The order matters: `store` sets what mlflow reads when it is imported.
from mlflow import MlflowClient  # isort: skip
from mlflow.entities import Metric, Param, RunTag  # isort: skip
from mlflow.exceptions import MlflowException  # isort: skip
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor  # isort: skip

SYSTEM_METRICS_SECONDS = 5

# A sweep names its own run here: the runs of its cells hang below it.
PARENT_RUN = "RESGRID_PARENT_RUN"


class MlflowRun:
    """See `resgrid.tracking.Run`. A store that fails during a training costs a warning, never the training."""

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self.run_id: str = run_id
        self.tracking_uri: str = tracking_uri()
        self._logged_steps = self._steps_in_store()
        self._pending: list[Metric] = []
        logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)
        self._monitor = SystemMetricsMonitor(
            run_id,
            sampling_interval=SYSTEM_METRICS_SECONDS,
            resume_logging=True,
            tracking_uri=self.tracking_uri,
        )
        self._monitor.start()

    @classmethod
    def start(cls, name: str, experiment: str, run_id: str | None) -> Self:
        client = open_client()
        if run_id is not None and _is_there(client, run_id):
            client.update_run(run_id, status="RUNNING")
        else:
            tags = {"mlflow.source.type": "LOCAL", "mlflow.user": _user()}
            run = client.create_run(experiment_id(client, experiment), run_name=name, tags=tags)
            run_id = run.info.run_id
        if parent := os.environ.get(PARENT_RUN):
            client.set_tag(run_id, "mlflow.parentRunId", parent)
        return cls(client, run_id)

    def log_params(self, params: Mapping[str, object]) -> None:
        self._client.log_batch(self.run_id, params=[Param(key, str(value)) for key, value in params.items()])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def log_metrics(self, step: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        new = [key for key in values if (key, step) not in self._logged_steps]
        self._pending += [Metric(key, values[key], now, step) for key in new]
        self._logged_steps.update((key, step) for key in new)
        try:
            self._send()
        except MlflowException as error:
            console.print(
                f"tracking: the store fails ({error.message.splitlines()[0]}); the points are kept and sent later",
                style="yellow",
                markup=False,
            )

    def log_file(self, path: Path) -> None:
        self._client.log_artifact(self.run_id, str(path))

    def log_text(self, name: str, text: str) -> None:
        self._client.log_text(self.run_id, text, name)

    def log_figure(self, name: str, png: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(png)
            self._client.log_artifact(self.run_id, str(path), "figures")

    def finish(self, status: str = "FINISHED") -> None:
        self._monitor.finish()
        self._send()
        self._client.set_terminated(self.run_id, status)

    def _send(self) -> None:
        while self._pending:
            self._client.log_batch(self.run_id, metrics=self._pending[:1000])
            self._pending = self._pending[1000:]

    def _steps_in_store(self) -> set[tuple[str, int]]:
        """What a resumed run holds already: the steps after its checkpoint come again, with the same values."""
        keys = self._client.get_run(self.run_id).data.metrics
        return {
            (key, metric.step)
            for key in keys
            if not key.startswith("system/")
            for metric in self._client.get_metric_history(self.run_id, key)
        }


def _is_there(client: MlflowClient, run_id: str) -> bool:
    try:
        return client.get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException:
        return False


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"
