"""Command: measure the training loop beside its bound and the usual loop, its start, tracking and checkpoints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from resgrid.config.whole import Config, load_config
from resgrid.names import parse_network
from resgrid.terminal import console, run_command

REPOSITORY = Path(__file__).resolve().parents[1]
OUTPUT = REPOSITORY / "benchmarks/results/train.json"

# The shares of tracking and checkpoints depend on a preset's `val_every` and `checkpoint_every`; the first is CIFAR's.
PRESETS = {"cifar10-jpeg": (3, 32, 32), "digits": (1, 8, 8)}


def train(
    quick: Annotated[bool, typer.Option("--quick", help="Two short rounds: a look, no measurement.")] = False,
    network: Annotated[
        list[str] | None, typer.Option(help="Networks to measure; may be repeated. [default: resnet20-A, resnet56-A]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Where the JSON goes. [default: benchmarks/results/train.json; --quick: nowhere]"),
    ] = None,
) -> None:
    """Measure the speed of training on this machine: about 12 minutes on two cores, 4 with --quick.

    The product's loop, a bare loop of the same network on one ready batch (the bound), and a loop in the usual
    style (PIL transforms in loader workers, fp32) train on the same synthetic images in one process, in turns, so
    that all meet the same drift of the machine. Ratios are taken within each turn; medians come with the smallest
    and the largest. Then follow the shares of tracking and checkpoints in a step, and the time from the command
    `python -m pipeline.train` to its first step, by part, in fresh processes.

    Run it on a quiet machine. It works in temporary folders: data, runs and tracking of this copy stay as they are.
    docs/performance.md says what the numbers mean.
    """
    networks = network or ["resnet20-A", "resnet56-A"]
    for name in networks:
        parse_network(name)
    configs = {preset: load_config(REPOSITORY / "presets" / f"{preset}.yaml") for preset in PRESETS}
    # The product would track on a server, or keep its state in a place, that these name.
    for variable in ("MLFLOW_TRACKING_URI", "RESGRID_STATE"):
        os.environ.pop(variable, None)
    output = output.absolute() if output else None if quick else OUTPUT
    measure(networks, configs, quick, output)


def measure(networks: list[str], configs: dict[str, Config], quick: bool, output: Path | None) -> None:
    """Measure everything, print the table, and write the JSON if it has a place."""
    from benchmarks.overheads import measure_overheads
    from benchmarks.report import Results, load_average
    from benchmarks.speeds import flat_out, measure_speeds, measure_step_seconds
    from benchmarks.startup import measure_startup
    from benchmarks.synthetic import working_folder
    from resgrid.hardware import count_cores

    rounds, stretch_seconds, occasions, idle_seconds, starts = (2, 1, 5, 6, 1) if quick else (7, 2.5, 12, 20, 5)
    load, threads = load_average(), count_cores()
    if load > 0.5:
        console.print(f"the load is {load:.1f}: other work is running, which widens the spread", style="yellow")

    cifar = next(iter(configs.values()))
    with working_folder(PRESETS[cifar.preset]) as card:
        speeds = []
        for name in networks:
            console.print(f"{name}: loops in turns")
            speeds.append(measure_speeds(name, flat_out(cifar, threads), card, rounds, stretch_seconds))

    overheads = []
    for preset, config in configs.items():
        console.print(f"{preset}: tracking and checkpoints")
        with working_folder(PRESETS[preset]) as card:
            quiet = flat_out(config, config.train.threads)
            step_seconds = measure_step_seconds(networks[0], quiet, card, rounds, stretch_seconds)
            overheads.append(measure_overheads(networks[0], config, card, step_seconds, occasions, idle_seconds))

    console.print("start-up")
    with working_folder(PRESETS[cifar.preset]):
        startup = measure_startup(networks[0], cifar.preset, starts)

    results = Results(threads, load, speeds, overheads, startup)
    console.print(results.table())
    if output:
        results.write(output)
        console.print(f"written: {output}")


if __name__ == "__main__":
    run_command(train)
