"""Command `sweep`: run the stale cells in parallel on Ray Tune, and record them as `dvc repro` does."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from resgrid.commands.preset import PresetOption, use_preset
from resgrid.commands.run import refresh_images, refresh_manifests

# Of `sweep` and `search`.
AddressOption = Annotated[
    str | None, typer.Option(help="Ray's address: local, auto or host:port.  [default: sweep.address of params.yaml]")
]


def sweep(
    select: Annotated[
        list[str] | None, typer.Option(help="Cells or networks to run, such as 'resnet*-A'; repeat for more.")
    ] = None,
    seeds: Annotated[list[int] | None, typer.Option(help="Seeds to run; repeat for more.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also run cells that are up to date.")] = False,
    address: AddressOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "--dry", help="Print the plan and run nothing.")] = False,
    preset: PresetOption = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Set a parameter in params.yaml first; repeat for more.")
    ] = None,
    exp: Annotated[str | None, typer.Option(help="Save the whole grid's results as a DVC experiment.")] = None,
) -> None:
    """Run selected cells, or run on a cluster, as `run` does.

    Section `sweep` of params.yaml gives each cell's CPUs and GPUs. Press Ctrl-C once to save checkpoints, keep finished
    cells and stop; press it twice to stop at once. The next sweep resumes.

    \b
    Examples:
      resgrid sweep --dry-run                       print the plan
      resgrid sweep --select 'resnet*-A' --seeds 0
      resgrid sweep --address auto                  on this machine's Ray cluster
      resgrid sweep --set optimizer.lr=0.05 --exp low-rate    compare experiments with `dvc exp show`
    """
    if exp and (select or seeds or dry_run):
        raise ValueError(f"--exp: {exp!r}: an experiment is of the whole grid; omit --select, --seeds and --dry-run")
    if exp:
        from resgrid.sweep.experiment import check_name

        check_name(exp)
    params = use_preset(preset)
    if changes:
        from resgrid.sweep.experiment import set_parameters

        params = set_parameters(changes)
    refresh_manifests(params.grid)
    if not dry_run:
        refresh_images(params.data)
    from resgrid.config.whole import load_config

    config = load_config(changes={"sweep.address": address} if address else {})
    from resgrid.sweep.run import run_sweep

    status = run_sweep(config, select or [], seeds or None, force, dry_run)
    if exp and status == 0:
        from resgrid.sweep.experiment import save_experiment

        status = save_experiment(exp)
    sys.exit(status)
