"""The learning rate by step: milestones, and the low rate at which very deep networks start (paper, section 4.2)."""

from __future__ import annotations

from bisect import bisect_right

from resgrid.config import OptimizerConfig, ScheduleConfig, WarmupConfig


class LearningRate:
    """The learning rate of a network in each step.

    It depends on the step alone, except for the warm-up, which lasts until the training has shown itself under way.

    Args:
        optimizer: the full rate.
        schedule: milestones and warm-up.
        depth: of the network; shallow ones don't warm up, nor those whose name says none.
    """

    def __init__(self, optimizer: OptimizerConfig, schedule: ScheduleConfig, depth: int | None) -> None:
        self.full_rate = optimizer.lr
        self.milestones, self.gamma = schedule.milestones, schedule.gamma
        deep = schedule.warmup is not None and depth is not None and depth >= schedule.warmup.from_depth
        self._warmup = schedule.warmup if deep else None
        self.warmup_ended_at: int | None = None

    @property
    def warming_up(self) -> WarmupConfig | None:
        """The warm-up that is going on, or None."""
        return self._warmup if self.warmup_ended_at is None else None

    def at(self, step: int) -> float:
        """The rate of a step, counted from 0: milestone m is the first step at the lower rate."""
        base = self.warming_up.lr if self.warming_up else self.full_rate
        return base * self.gamma ** bisect_right(self.milestones, step)

    def observe(self, steps_done: int, train_error: float) -> None:
        """End the warm-up if the training error over its last window, in percent, is low enough."""
        if self.warming_up and train_error < self.warming_up.until_train_error:
            self.warmup_ended_at = steps_done
