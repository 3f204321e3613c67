"""Command: profile a training step of the product's own loop by torch operation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from resgrid.config.whole import load_config
from resgrid.terminal import console, run_command

PRESET = Path(__file__).resolve().parents[1] / "presets/cifar10-jpeg.yaml"
SHAPE = (3, 32, 32)


def loop_profile(
    network: Annotated[str, typer.Option(help="Network to train.")] = "resnet20-A",
    steps: Annotated[int, typer.Option(help="Steps to watch.", min=1)] = 10,
    rows: Annotated[int, typer.Option(help="Operations to show.", min=1)] = 14,
) -> None:
    """Show how much of a step of the product's loop each torch operation takes, without the operations that it calls.

    The rest of a step is Python: Lightning's loop, autograd's bookkeeping, and preparing batches.
    """
    from torch.profiler import ProfilerActivity, profile

    from benchmarks.loops import ProductLoop
    from benchmarks.speeds import flat_out
    from benchmarks.synthetic import working_folder
    from benchmarks.timing import WARM_STEPS
    from resgrid.hardware import count_cores

    with working_folder(SHAPE) as card:
        product = ProductLoop(network, flat_out(load_config(PRESET), count_cores()), card)
        product(1)
        with profile(activities=[ProfilerActivity.CPU]) as watched:
            seconds = product(steps)
    step_milliseconds = 1000 * seconds / steps
    table = Table("operation", "calls per step", "ms per step", "share", title=f"{network}: {step_milliseconds:.0f} ms")
    averages = sorted(watched.key_averages(), key=lambda average: -average.self_cpu_time_total)
    for average in averages[:rows]:
        milliseconds = average.self_cpu_time_total / 1000 / (steps + WARM_STEPS)
        calls = average.count / (steps + WARM_STEPS)
        table.add_row(average.key, f"{calls:.0f}", f"{milliseconds:.1f}", f"{milliseconds / step_milliseconds:.1%}")
    console.print(table)


if __name__ == "__main__":
    run_command(loop_profile)
