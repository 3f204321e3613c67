"""Command `dashboard`: browse the runs in MLflow."""

from __future__ import annotations

from typing import Annotated

import typer


def dashboard(
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 5000,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all, without a password.")] = "127.0.0.1",
) -> None:
    """Browse the runs in MLflow, until Ctrl-C.

    Meanwhile, `resgrid track` sends what MLflow lacks, such as figures.

    \b
    Examples:
      resgrid dashboard
      resgrid dashboard --port 5001
      resgrid dashboard --host 0.0.0.0   also from other machines
    """
    from resgrid.tracking.dashboard import serve

    serve(host, port)
