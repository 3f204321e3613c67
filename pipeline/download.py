"""DVC stage `download`: bring the raw files of the data set in `params.yaml` to `data/raw`, verified."""

from __future__ import annotations

from resgrid.config.data import DownloadParams
from resgrid.config.reading import load_params
from resgrid.data.fetching.fetch import fetch
from resgrid.terminal import run_command


def download() -> None:
    """Bring the raw files of the data set to data/raw, verified."""
    fetch(load_params(DownloadParams).data)


if __name__ == "__main__":
    run_command(download)
