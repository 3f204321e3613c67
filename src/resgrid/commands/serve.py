"""Command `serve`: classify images with the champion, over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer


def serve(port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 5002) -> None:
    """Classify images with the champion, over HTTP.

    MLflow's scoring server serves it until Ctrl-C. The command prints a request that classifies an example image.

    \b
    Examples:
      resgrid serve
      resgrid serve --port 5003
    """
    from resgrid.config.whole import load_config

    name = load_config().data.name
    from resgrid.exchange.champion import example_path
    from resgrid.tracking.champion import serve_champion

    serve_champion(name, example_path(name), port)
