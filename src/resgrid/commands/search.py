"""Command `search`: tune one cell's hyperparameters on Ray Tune."""

from __future__ import annotations

import sys

from resgrid.commands.preset import PresetOption, use_preset
from resgrid.commands.run import refresh_manifests
from resgrid.commands.sweep import AddressOption


def search(address: AddressOption = None, preset: PresetOption = None) -> None:
    """Tune one cell's hyperparameters by validation error.

    Section `search` of params.yaml names the cell, the space and the number of trials. Press Ctrl-C once to save
    checkpoints and stop; press it twice to stop at once. The next search resumes.

    \b
    Examples:
      resgrid search
      resgrid search --preset fashion-mnist --address auto
    """
    refresh_manifests(use_preset(preset).grid)
    from resgrid.config.whole import load_config

    config = load_config(changes={"sweep.address": address} if address else {})
    from resgrid.sweep.search import run_search

    sys.exit(run_search(config))
