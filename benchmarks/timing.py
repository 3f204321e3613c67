"""The clock of the benchmarks: timed stretches of steps, contenders in turns, spreads of repeated measurements."""

# ruff: noqa: ARG002 - Lightning's hooks have fixed signatures

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import pytorch_lightning as pl
import torch

# Returns the seconds of a number of training steps, after the device has finished the last step.
Contender = Callable[[int], float]

# Steps before the clock starts: lazy imports, the choice of kernels by oneDNN or cuDNN, and filling the loader queues.
WARM_STEPS = 20 if torch.cuda.is_available() else 2


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one quantity: median, smallest and largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Summarize values.

        Raises:
            statistics.StatisticsError: there are no values.
        """
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])


class StretchOverError(Exception):
    """The timed steps are done; raised to leave a training loop that would continue."""


class Stopwatch(pl.Callback):
    """Times whole steps of a Lightning loop, including the loading of batches, and then ends the loop.

    Attach it after all other callbacks, so that a step includes them.

    Args:
        steps: number of steps to time, after `WARM_STEPS`.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.seconds = 0.0
        self._began = 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == WARM_STEPS:
            self._began = now()
        elif trainer.global_step == WARM_STEPS + self.steps:
            self.seconds = now() - self._began
            raise StretchOverError


def now() -> float:
    """Wait for the device, and return the seconds of a monotonic clock."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def in_turns(contenders: Mapping[str, Contender], steps: int, rounds: int) -> dict[str, list[float]]:
    """Time each contender once per round, in turns, so that drift of the machine affects all contenders equally.

    Returns:
        Seconds per step of each contender, one value for each round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            seconds[name].append(contender(steps) / steps)
    return seconds


def speed_ratio(seconds: Mapping[str, list[float]], fast: str, against: str) -> Spread:
    """Return the speed of `fast` divided by the speed of `against`, from the pairs of each round."""
    return Spread.of(theirs / ours for ours, theirs in zip(seconds[fast], seconds[against], strict=True))
