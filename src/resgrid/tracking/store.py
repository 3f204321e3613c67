"""The store of runs: the embedded one under `mlruns/`, or the one that `MLFLOW_TRACKING_URI` names.

The environment variable `RESGRID_TRACKING` names another folder than `mlruns/`.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import textwrap
from contextlib import closing
from urllib.parse import quote

from filelock import FileLock

# MLflow reads this when it is imported: no usage reports.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from resgrid.terminal import console
from resgrid.tracking import EMBEDDED

# It reports each table that it creates, and each attempt to open a database; errors are raised as well.
logging.getLogger("mlflow.store.db.utils").setLevel(logging.ERROR)

_LINE_LENGTH = 200
_LOCK_SECONDS = 60


def tracking_uri() -> str:
    """Return `MLFLOW_TRACKING_URI`, or the URI of the embedded store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or embedded_uri()


def embedded_uri() -> str:
    """Return the URI of the embedded store, a SQLite file."""
    path = str((EMBEDDED / "mlflow.db").resolve())
    # MLflow neither opens a database below a folder such as `feature%2Fx`, nor quotes the path: a path from the working
    # folder avoids such characters.
    return f"sqlite:///{path if quote(path) == path else quote(os.path.relpath(path))}"


def server_or_database() -> str | None:
    """Return `MLFLOW_TRACKING_URI` without a password; None for the embedded store."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    return without_password(uri) if uri else None


def open_client() -> MlflowClient:
    """Open the store; the embedded one is created if it is missing.

    Raises:
        ValueError: the store can't be opened.
    """
    uri = tracking_uri()
    given = bool(os.environ.get("MLFLOW_TRACKING_URI"))
    try:
        return _open(uri) if given else _open_embedded(uri)
    except Exception as error:  # of MLflow, of SQLAlchemy, or of a database's driver
        place = f"MLFLOW_TRACKING_URI: {without_password(uri)!r}" if given else str(EMBEDDED / "mlflow.db")
        advice = (
            "name a running server or a database, or unset the variable to track under mlruns/"
            if given
            else f"move it away to begin with an empty store, or upgrade it: mlflow db upgrade {uri}"
        )
        raise ValueError(f"{place}: the runs' store can't be opened ({first_line(error)}); {advice}") from error


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, shortened and without passwords."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return without_password(textwrap.shorten(line, _LINE_LENGTH, placeholder=" …"))


def without_password(text: str) -> str:
    """Replace the user and the password of URLs in a text."""
    return re.sub(r"(?<=://)[^/@\s]+@", "***@", text)


def _open(uri: str) -> MlflowClient:
    client = MlflowClient(uri)
    client.search_experiments(max_results=1)
    return client


def _open_embedded(uri: str) -> MlflowClient:
    EMBEDDED.mkdir(parents=True, exist_ok=True)
    # If several processes open a missing database at once, each creates the tables, and all fail.
    with FileLock(EMBEDDED / "mlflow.db.lock", timeout=_LOCK_SECONDS):
        if not (EMBEDDED / "mlflow.db").exists():
            _create_embedded(uri)
        client = _open(uri)
        _follow_the_folder()
    return client


def _create_embedded(uri: str) -> None:
    """Create the database under another name first: MLflow can't open one whose creation was killed."""
    for part in EMBEDDED.glob("mlflow.db.new*"):  # the database and its journal
        part.unlink()
    _open(f"{uri}.new")
    (EMBEDDED / "mlflow.db.new").rename(EMBEDDED / "mlflow.db")


def experiment_id(client: MlflowClient, name: str) -> str:
    """Return the id of an experiment, which is created if it is missing and restored if it was deleted."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return _create_experiment(client, name)
        except MlflowException:  # another process created it first
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
        console.print(f"tracking: the experiment {name!r} was deleted; it is restored", style="yellow", markup=False)
    return experiment.experiment_id


def _create_experiment(client: MlflowClient, name: str) -> str:
    location = None if os.environ.get("MLFLOW_TRACKING_URI") else _artifacts_uri()
    # With this tag, MLflow's pages open in their view of trainings instead of language models.
    tags = {"mlflow.experimentKind": "custom_model_development"}
    return client.create_experiment(name, artifact_location=location, tags=tags)


def _artifacts_uri() -> str:
    return (EMBEDDED / "artifacts").resolve().as_uri()


def _follow_the_folder() -> None:
    """Update the store after the repository's folder was moved or renamed.

    MLflow stores the absolute URI of each artifact location. In a moved repository, artifacts would be missing without
    an error, and new ones would be written to the old folder.
    """
    current = _artifacts_uri()
    with closing(sqlite3.connect(EMBEDDED / "mlflow.db", timeout=_LOCK_SECONDS)) as database, database:
        rows = database.execute(
            "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location LIKE '%/mlruns/artifacts'"
        ).fetchall()
        for (stored,) in rows:
            if stored == current:
                continue
            for table, column in (
                ("experiments", "artifact_location"),
                ("runs", "artifact_uri"),
                ("logged_models", "artifact_location"),
            ):
                database.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (current, len(stored) + 1, len(stored), stored),
                )
