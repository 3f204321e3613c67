"""Command: browse the runs in MLflow."""

from __future__ import annotations

from typing import Annotated

import typer

from resgrid.terminal import run_command
from resgrid.tracking.dashboard import serve


def dashboard(port: Annotated[int, typer.Option(help="Port on 127.0.0.1.", min=1, max=65535)] = 5000) -> None:
    """Serve MLflow's pages over the runs of this repository until Ctrl-C."""
    serve(port)


if __name__ == "__main__":
    run_command(dashboard)
