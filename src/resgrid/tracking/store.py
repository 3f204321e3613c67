"""Where runs are kept: the embedded store under `mlruns/`, or the server of `MLFLOW_TRACKING_URI`.

`RESGRID_TRACKING` names another folder than `mlruns/`.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from filelock import FileLock

# Read by mlflow when it is imported: no usage reports to its makers.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of each table that it makes

EMBEDDED = Path(os.environ.get("RESGRID_TRACKING", "mlruns"))


def tracking_uri() -> str:
    """Return `MLFLOW_TRACKING_URI`, or the address of the embedded store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or embedded_uri()


def embedded_uri() -> str:
    """Return the address of the embedded store, a SQLite file."""
    return f"sqlite:///{EMBEDDED.resolve() / 'mlflow.db'}"


def open_client() -> MlflowClient:
    """A client of the store, which is made first if it is the embedded one and not there yet.

    Raises:
        ValueError: the server doesn't answer.
    """
    uri = tracking_uri()
    if os.environ.get("MLFLOW_TRACKING_URI"):
        client = MlflowClient(uri)
        try:
            client.search_experiments(max_results=1)
        except MlflowException as error:
            raise ValueError(
                f"MLFLOW_TRACKING_URI: {uri!r}: the tracking server doesn't answer ({error.message.splitlines()[0]}); "
                "start it, or unset the variable to track under mlruns/"
            ) from None
        return client
    EMBEDDED.mkdir(parents=True, exist_ok=True)
    # Processes that open a missing database at once all fail: each makes the tables that another is making.
    with FileLock(EMBEDDED / "mlflow.db.lock"):
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
        _follow_the_folder()
    return client


def experiment_id(client: MlflowClient, name: str) -> str:
    """The experiment of that name, made if it isn't there yet, also when two processes ask at once."""
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        return experiment.experiment_id
    embedded = not os.environ.get("MLFLOW_TRACKING_URI")
    location = _artifacts_uri() if embedded else None
    try:
        # The tag has MLflow's pages open in their view of trainings instead of language models.
        tags = {"mlflow.experimentKind": "custom_model_development"}
        return client.create_experiment(name, artifact_location=location, tags=tags)
    except MlflowException:
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            raise
        return experiment.experiment_id


def _artifacts_uri() -> str:
    return (EMBEDDED / "artifacts").resolve().as_uri()


def _follow_the_folder() -> None:
    """Mend the store after the repository's folder was moved or renamed.

    MLflow stores each artifact location as an absolute address. In a moved repository artifacts would silently be
    missing, and new ones would be written to the old place.
    """
    here = _artifacts_uri()
    with closing(sqlite3.connect(EMBEDDED / "mlflow.db", timeout=60)) as database, database:
        rows = database.execute(
            "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location LIKE '%/mlruns/artifacts'"
        ).fetchall()
        for (there,) in rows:
            if there == here:
                continue
            for table, column in (
                ("experiments", "artifact_location"),
                ("runs", "artifact_uri"),
                ("logged_models", "artifact_location"),
            ):
                database.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (here, len(there) + 1, len(there), there),
                )
