"""The registered model of a data set with the alias `champion`, and its scoring server."""

from __future__ import annotations

import base64
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from resgrid.terminal import console
from resgrid.tracking.store import open_client, tracking_uri

# The order matters: `store` sets what mlflow reads when it is imported.
import mlflow  # isort: skip
import mlflow.pyfunc  # isort: skip
import pandas as pd  # isort: skip
from mlflow.exceptions import MlflowException  # isort: skip
from mlflow.models import ModelSignature  # isort: skip
from mlflow.types import ColSpec, DataType, Schema  # isort: skip

ALIAS = "champion"


class ModelFiles(NamedTuple):
    """The files of a served model.

    Attributes:
        artifacts: paths by the names that `served_model.ImageClassifier` reads.
        example: content of an image file.
    """

    artifacts: dict[str, str]
    example: bytes


def register(
    run_id: str, name: str, files: ModelFiles, requirements: list[str], note: str
) -> tuple[str, Callable[[bytes], dict[str, Any]]]:
    """Register a version of a model with the alias `champion`.

    Args:
        run_id: of the run that the model belongs to.
        name: of the registered model.
        requirements: packages that serving needs, as pip writes them.
        note: why the model is the champion.

    Returns:
        The model's address, and a function from an image file's content to the model's answer.

    Raises:
        ValueError: the store has no such run, or refuses the name.
    """
    client = open_client()
    mlflow.set_tracking_uri(tracking_uri())
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="mlflow")  # of types in `served_model`, which the signature has
    signature = ModelSignature(inputs=Schema([ColSpec(DataType.string, "image")]))
    try:
        mlflow.start_run(run_id=run_id, log_system_metrics=False)
        info = mlflow.pyfunc.log_model(
            name="champion",
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts=files.artifacts,
            signature=signature,
            input_example=_request(files.example),
            pip_requirements=requirements,
            registered_model_name=name,
        )
        version = str(info.registered_model_version)
        client.set_registered_model_alias(name, ALIAS, version)
        client.update_registered_model(name, note)
        client.update_model_version(name, version, note)
    except MlflowException as error:
        raise ValueError(f"model {name} of run {run_id}: {error.message.splitlines()[0]}") from None
    finally:
        mlflow.end_run()
    model = mlflow.pyfunc.load_model(info.model_uri)
    return f"models:/{name}@{ALIAS}", lambda content: model.predict(_request(content))[0]


def serve_champion(name: str, example: Path, port: int) -> None:
    """Become MLflow's scoring server of a data set's champion, which ends with Ctrl-C.

    Args:
        name: of the registered model.
        example: an image file for the printed request.
        port: the TCP port on the loopback address.

    Raises:
        ValueError: there is no champion.
    """
    try:
        open_client().get_model_version_by_alias(name, ALIAS)
    except MlflowException:
        raise ValueError(f"{name}: has no champion; register one: make register-champion") from None
    console.print("the server starts in some seconds (Ctrl-C ends it). Classify an image:")
    sys.stdout.write(curl_command(example, port) + "\n")
    sys.stdout.flush()
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri()
    program = str(Path(sys.executable).with_name("mlflow"))
    options = ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    os.execv(program, [program, "models", "serve", *options, "--model-uri", f"models:/{name}@{ALIAS}"])


def curl_command(example: Path, port: int) -> str:
    """Return a shell command that sends an image to the server."""
    head = f"curl -s http://127.0.0.1:{port}/invocations -H 'Content-Type: application/json' -d "
    image = f"$(base64 < {shlex.quote(str(example))} | tr -d '\\n')"
    return f"""{head}'{{"dataframe_records": [{{"image": "'{image}'"}}]}}'"""


def _request(content: bytes) -> pd.DataFrame:
    return pd.DataFrame({"image": [base64.b64encode(content).decode()]})
