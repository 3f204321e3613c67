"""Models in MLflow: logged to a cell's run with a signature, registered by choice, and loaded again."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import nn

from resgrid.tracking.store import embedded_uri, open_client, tracking_uri

# The order matters: `store` sets what mlflow reads when it is imported.
import mlflow  # isort: skip
import mlflow.pyfunc  # isort: skip
import mlflow.pytorch as mlflow_pytorch  # isort: skip
from mlflow.exceptions import MlflowException  # isort: skip
from mlflow.models import ModelSignature  # isort: skip
from mlflow.types import Schema, TensorSpec  # isort: skip


def log_model(
    run_id: str,
    model: nn.Module,
    images: np.ndarray,
    logits: np.ndarray,
    requirements: list[str],
    register_as: str | None,
) -> str:
    """Log a network as torch.export's graph, which needs no code of resgrid to be loaded and holds no pickle.

    Args:
        run_id: of the run that it belongs to.
        model: from images to logits, in evaluation mode; it accepts the type of `images`.
        images: two or more: the example, from which the signature takes type and shape; any number may be sent.
        logits: of these images.
        requirements: packages that loading needs, as pip writes them. Without them MLflow takes 16 s to find out.
        register_as: a name in the registry, or None.

    Returns:
        The model's address, such as `models:/m-1234…`; a registered version has another, `models:/<name>/<version>`.

    Raises:
        ValueError: the store has no such run, or refuses the name.
    """
    open_client()
    mlflow.set_tracking_uri(tracking_uri())
    signature = ModelSignature(
        inputs=Schema([TensorSpec(images.dtype, (-1, *images.shape[1:]))]),
        outputs=Schema([TensorSpec(logits.dtype, (-1, *logits.shape[1:]))]),
    )
    try:
        run = mlflow.start_run(run_id=run_id, log_system_metrics=False)
    except MlflowException as error:
        raise ValueError(f"MLflow run {run_id} at {tracking_uri()}: {error.message.splitlines()[0]}") from None
    try:
        info = mlflow_pytorch.log_model(
            model,
            name="model",
            signature=signature,
            input_example=images,
            pip_requirements=requirements,
            registered_model_name=register_as,
            serialization_format="pt2",
        )
    except MlflowException as error:
        raise ValueError(
            f"model {register_as or ''} of run {run.info.run_id}: {error.message.splitlines()[0]}"
        ) from None
    finally:
        mlflow.end_run()
    return info.model_uri


def serve_command(model_uri: str) -> str:
    """Return the shell command that serves a model over HTTP, in the environment of this process.

    It names the embedded store. The address of another store is in the user's environment, and may contain a password.
    """
    # Not by the environment: MLflow itself sets the variable.
    variables = ["env", f"MLFLOW_TRACKING_URI={embedded_uri()}"] if tracking_uri() == embedded_uri() else []
    mlflow_program = str(Path(sys.executable).with_name("mlflow"))
    command = [mlflow_program, "models", "serve", "--env-manager", "local", "--model-uri", model_uri]
    return shlex.join([*variables, *command])


def load_model(model_uri: str) -> Callable[[np.ndarray], np.ndarray]:
    """Load a model with MLflow's own loader, as a function from images to float32 logits (N, classes)."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # it compares versions, which are those that logged
    return mlflow.pyfunc.load_model(model_uri).predict
