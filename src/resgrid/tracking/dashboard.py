"""MLflow's pages over the embedded store."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys

import psutil

from resgrid.terminal import console
from resgrid.tracking import EMBEDDED
from resgrid.tracking.store import open_client, tracking_uri
from resgrid.tracking.views import links

_LOOPBACK = ("localhost", "127.0.0.1")


def serve(host: str, port: int) -> None:
    """Become MLflow's server, which ends with Ctrl-C.

    Args:
        host: an IPv4 address or a name of this machine; 0.0.0.0 for all addresses.
        port: the TCP port.

    Raises:
        ValueError: the address can't be used, or the runs are on a server already.
    """
    if os.environ.get("MLFLOW_TRACKING_URI", "").startswith("http"):
        raise ValueError(f"the runs are on the server {tracking_uri()}: open it in a browser")
    _check_free(host, port)
    names = _names(host)
    # MLflow refuses other Host headers, and changes (each search is one) from pages of other origins
    # (https://github.com/mlflow/mlflow/issues/17910).
    os.environ.setdefault("MLFLOW_SERVER_ALLOWED_HOSTS", ",".join(f"{name}:*" for name in names))
    os.environ.setdefault("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", ",".join(f"http://{name}:{port}" for name in names))
    # MLflow's job runner starts eight more processes, which outlive a killed server.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    client = open_client()  # before the server, which would create a missing database at the same time
    subprocess.Popen([sys.executable, "-m", "resgrid", "track"])  # beside the server: drawing figures takes a while
    console.print(f"the dashboard starts in some seconds at http://{names[-1]}:{port} (Ctrl-C ends it)")
    for experiment in client.search_experiments():
        for title, link in links(experiment, f"http://{names[-1]}:{port}"):
            console.print(f"  {experiment.name}, {title}: {link}", markup=False, soft_wrap=True)
    if host not in _LOOPBACK:
        console.print("no password: whoever reaches this port can read and change the runs", style="yellow")
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        tracking_uri(),
        "--default-artifact-root",
        (EMBEDDED / "artifacts").resolve().as_uri(),
    ]
    os.execv(sys.executable, command)


def _check_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                problem = f"port: {port}: already in use on {host}; choose another: make dashboard PORT={port + 1}"
            elif error.errno == errno.EACCES:
                problem = f"port: {port}: reserved for the system; use 1024 or above"
            else:
                problem = f"host: {host!r}: not an address of this machine; use 127.0.0.1 or 0.0.0.0"
            raise ValueError(problem) from None


def _names(host: str) -> list[str]:
    """The names and addresses by which browsers reach the server, the most useful one last."""
    if host in _LOOPBACK:
        return [*_LOOPBACK]
    if host != "0.0.0.0":
        return [*_LOOPBACK, host]
    addresses = [
        address.address
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family is socket.AF_INET
    ]
    return list(dict.fromkeys([*_LOOPBACK, *addresses, socket.getfqdn(), socket.gethostname()]))
