"""MLflow's own pages over the embedded store."""

from __future__ import annotations

import os
import socket
import sys

from resgrid.terminal import console
from resgrid.tracking.store import EMBEDDED, open_client, tracking_uri

HOST = "127.0.0.1"


def serve(port: int) -> None:
    """Become MLflow's server on `127.0.0.1:port`; ends with Ctrl-C.

    Raises:
        ValueError: the port is taken, or the runs are on a server already.
    """
    if os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http"):
        raise ValueError(f"the runs are on the server {tracking_uri()}: open it in a browser")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise ValueError(
                f"port {port} of {HOST} is taken; choose another: make dashboard PORT={port + 1}"
            ) from None
    open_client()
    console.print(f"the dashboard starts in some seconds at http://{HOST}:{port} (Ctrl-C ends it)")
    # Its job runner starts eight more processes, which outlive a killed server.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        tracking_uri(),
        "--default-artifact-root",
        (EMBEDDED / "artifacts").resolve().as_uri(),
    ]
    os.execv(sys.executable, command)
