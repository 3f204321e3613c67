"""The results of the benchmarks as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.overheads import Overheads
from benchmarks.speeds import Speeds
from benchmarks.startup import Startup
from benchmarks.timing import Spread
from resgrid.artifacts.files import write_atomically
from resgrid.tracking.lineage import current_commit, describe_hardware, versions


@dataclass(frozen=True)
class Results:
    """Everything that was measured. The first of `overheads` is the one whose shares are the headline.

    Attributes:
        threads: of the loops.
        load: average number of waiting processes in the minute before the measurement: 0 on a quiet machine.
    """

    threads: int
    load: float
    speeds: Sequence[Speeds]
    overheads: Sequence[Overheads]
    startup: Startup

    def write(self, path: Path) -> None:
        """Write `train.json`: ratios with their smallest and largest value, times in seconds."""
        write_atomically(path, (json.dumps(_rounded(self._content()), indent=2, ensure_ascii=False) + "\n").encode())

    def _content(self) -> dict[str, Any]:
        headline = self.overheads[0]
        return {
            "hardware": describe_hardware(),
            "threads": self.threads,
            "load_before": self.load,
            "commit": current_commit(),
            "versions": versions(),
            **{_key(speeds.network): _with_spreads(asdict(speeds)) for speeds in self.speeds},
            "deterministic_cost": self.speeds[0].deterministic_cost.median,
            "tracking_share": headline.tracking_share,
            "checkpoint_share": headline.checkpoint_share,
            "overheads": [_with_spreads(asdict(overheads)) for overheads in self.overheads],
            "startup_s": self.startup.until_first_step.median,
            "startup_s_spread": [self.startup.until_first_step.low, self.startup.until_first_step.high],
            "startup_parts": {name: spread.median for name, spread in self.startup.parts.items()},
            "startup_new_store_s": self.startup.new_store_seconds,
            "startup_warm_s": self.startup.warm.median,
            "startup_warm_s_spread": [self.startup.warm.low, self.startup.warm.high],
        }

    def table(self) -> Table:
        table = Table("what", "median", "smallest to largest", title=f"{describe_hardware()}, {self.threads} threads")
        for speeds in self.speeds:
            _add(table, speeds.network, _speed_rows(speeds))
        for overheads in self.overheads:
            _add(table, f"{overheads.preset}, {overheads.network}", _overhead_rows(overheads))
        _add(table, "from the command to the first step", _startup_rows(self.startup))
        return table


_Row = tuple[str, str, str]


def _add(table: Table, title: str, rows: Iterator[_Row]) -> None:
    table.add_section()
    table.add_row(title, "", "", style="bold")
    for name, median, spread in rows:
        table.add_row(f"  {name}", median, spread)


def _speed_rows(speeds: Speeds) -> Iterator[_Row]:
    for name, spread in speeds.images_per_second.items():
        yield f"{name}, images/s", f"{spread.median:,.0f}", f"{spread.low:,.0f} to {spread.high:,.0f}"
    for name, ratio in (
        ("product / bare loop", speeds.vs_bound),
        ("product / usual loop", speeds.vs_usual),
        ("bare loop / usual loop", speeds.bound_vs_usual),
        ("channels-last / contiguous, bare loops", speeds.layout_gain),
        (f"precision {speeds.other_precision} / {speeds.precision}, product", speeds.other_vs_auto),
        (f"product / bare loop, precision {speeds.other_precision}", speeds.other_vs_bound),
    ):
        yield name, f"{ratio.median:.3f}", f"{ratio.low:.3f} to {ratio.high:.3f}"
    cost = speeds.deterministic_cost
    yield "cost of train.deterministic", f"{cost.median:.1%}", f"{cost.low:.1%} to {cost.high:.1%}"
    yield "64,000 steps", f"{speeds.schedule_hours:.1f} h", ""


def _overhead_rows(overheads: Overheads) -> Iterator[_Row]:
    yield _milliseconds("a validation's points to MLflow", overheads.log_seconds)
    yield _milliseconds("a checkpoint for resuming", overheads.save_seconds)
    yield f"tracking's share, val_every {overheads.val_every}", f"{overheads.tracking_share:.2%}", ""
    yield f"checkpoints' share, checkpoint_every {overheads.checkpoint_every}", f"{overheads.checkpoint_share:.2%}", ""


def _startup_rows(startup: Startup) -> Iterator[_Row]:
    yield _seconds("all", startup.until_first_step)
    for name, spread in startup.parts.items():
        yield _seconds(f"  {name}", spread)
    yield "open the MLflow run, new store", f"{startup.new_store_seconds:.2f} s", ""
    yield _seconds("all, forked from a process with the imports", startup.warm)


def _seconds(name: str, spread: Spread) -> _Row:
    return name, f"{spread.median:.2f} s", f"{spread.low:.2f} to {spread.high:.2f}"


def _milliseconds(name: str, spread: Spread) -> _Row:
    return name, f"{1000 * spread.median:.1f} ms", f"{1000 * spread.low:.1f} to {1000 * spread.high:.1f}"


def _key(network: str) -> str:
    """Option A is the paper's for these networks: `resnet20-A` is written `resnet20`."""
    return network.removesuffix("-A")


def _with_spreads(values: dict[str, Any]) -> dict[str, Any]:
    """Each spread as its median, with `<name>_spread` beside it."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and value.keys() == {"median", "low", "high"}:
            flat[name] = value["median"]
            flat[f"{name}_spread"] = [value["low"], value["high"]]
        else:
            flat[name] = _with_spreads(value) if isinstance(value, dict) else value
    return flat


def _rounded(value: Any) -> Any:
    """Four significant digits: more are noise."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return [_rounded(part) for part in value] if isinstance(value, list) else value


def load_average() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
