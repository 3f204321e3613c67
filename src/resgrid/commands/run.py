"""Command `run`: run the pipeline's stale stages with DVC, one after the other."""

from __future__ import annotations

import subprocess
import sys

from resgrid.commands.preset import PresetOption, use_preset
from resgrid.terminal import console


def run(preset: PresetOption = None) -> None:
    """Run the stale stages one after the other.

    Stages that are up to date are skipped. A killed run resumes from its last checkpoint.

    \b
    Examples:
      resgrid run                         params.yaml as it is
      resgrid run --preset cifar10-jpeg   another experiment
    """
    use_preset(preset)
    status = subprocess.run([sys.executable, "-m", "dvc", "repro"], check=False).returncode
    if status == 0:
        console.print("the report is reports/index.html; browse the runs with `make dashboard`")
    sys.exit(status)
