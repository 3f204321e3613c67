"""Pipeline stage `download`: fetch and verify the raw files of the data set in `params.yaml`."""

from __future__ import annotations

from resgrid.config.data import DownloadParams
from resgrid.config.reading import load_params
from resgrid.data.fetching.fetch import fetch
from resgrid.terminal import run_command


def download() -> None:
    """Fetch the raw files of the data set to data/raw and verify them."""
    fetch(load_params(DownloadParams).data)


if __name__ == "__main__":
    run_command(download)
