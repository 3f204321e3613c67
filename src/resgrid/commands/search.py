"""Command: try parameters for one network on Ray Tune, and print those with the lowest validation error."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from resgrid.config.whole import load_config
from resgrid.terminal import run_command


def search(
    address: Annotated[
        str | None, typer.Option(help="Ray's address, instead of params.yaml's sweep.address: local, auto, host:port.")
    ] = None,
) -> None:
    """Try parameters as params.yaml's section `search` says, and print the best; goes on where an earlier one ended.

    Ctrl-C once: start no more trials, have the running ones save a checkpoint. Twice: stop at once.
    """
    config = load_config(changes={"sweep.address": address} if address else {})
    from resgrid.sweep.search import run_search  # imports dvc: mistakes above are answered at once

    sys.exit(run_search(config))


if __name__ == "__main__":
    run_command(search)
