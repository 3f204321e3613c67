"""Command `run`: bring the grid and its report up to date on this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resgrid.commands.preset import PresetOption, use_preset
from resgrid.terminal import console

if TYPE_CHECKING:
    from resgrid.config.data import DataConfig
    from resgrid.config.grid import GridConfig


def run(
    preset: PresetOption = None,
    serial: Annotated[bool, typer.Option("--serial", help="Run one stage after the other, without Ray.")] = False,
) -> None:
    """Run the stale cells, then write the report.

    Cells run in parallel on all cores and GPUs of this machine; those that are up to date are skipped. A killed run
    resumes from its last checkpoints. With --serial, `dvc repro` runs the stages.

    \b
    Examples:
      resgrid run                         params.yaml as it is
      resgrid run --preset cifar10-jpeg   another experiment
      resgrid run --serial                where Ray can't start
    """
    config = use_preset(preset)
    refresh_manifests(config.grid)
    refresh_images(config.data)
    if serial:
        status = subprocess.run([sys.executable, "-m", "dvc", "repro"], check=False).returncode
    else:
        from resgrid.config.whole import load_config
        from resgrid.sweep.run import run_sweep

        status = run_sweep(load_config(changes={"sweep.address": "local"}), [], None)
    if status == 0:
        console.print("the report is reports/index.html; browse the runs with `make dashboard`")
    sys.exit(status)


def refresh_images(data: DataConfig) -> None:
    """Run the stage `download` again if images in a local folder or archive changed, which DVC doesn't watch.

    Raises:
        ValueError: the stage failed, after it printed the reason.
    """
    from resgrid.data.fetching.source_state import source_changed

    if source_changed(data):
        console.print(f"data.source: {data.source}: has changed since the last download")
        command = [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "download"]
        if subprocess.run(command, check=False).returncode:
            raise ValueError(f"data.source: {data.source}: can't be used; fix it as the message above says")


def refresh_manifests(grid: GridConfig) -> None:
    """Update the manifests below sources/ where code or installed packages changed.

    DVC then runs the stage `sources` again; by itself it notices changed code, but not changed packages.
    """
    from resgrid.names import parse_network
    from resgrid.sources.manifest import write_manifests

    if not Path("sources").exists():
        return  # the stage `sources` makes them
    for path in write_manifests(Path(), [parse_network(name) for name in grid.network]):
        console.print(f"sources: {path} changed")
