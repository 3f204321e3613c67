"""Pipeline stage `preprocess`: decode `data/raw` to split arrays, statistics and a sample sheet in `data/prepared`."""

from __future__ import annotations

from resgrid.config.data import PreprocessParams
from resgrid.config.reading import load_params
from resgrid.data.preparing.prepare import prepare
from resgrid.terminal import run_command


def preprocess() -> None:
    """Decode and split the raw images, and write arrays, statistics and a sample sheet to data/prepared."""
    config = load_params(PreprocessParams)
    prepare(config.data, config.split)


if __name__ == "__main__":
    run_command(preprocess)
