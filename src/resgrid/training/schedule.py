"""The learning rate by step: milestones or plateaus, and the warm-up of very deep networks.

Paper, section 3.4 ("divided by 10 when the error plateaus") and section 4.2 (milestones, warm-up of depth 110).
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from resgrid.config.train import OptimizerConfig, ScheduleConfig, WarmupConfig


class LearningRate:
    """The learning rate of a network at each step.

    It is a function of the step, with two exceptions: the warm-up ends when the training error is low enough, and each
    plateau adds a milestone. Both exceptions are part of the state for resuming.

    Args:
        optimizer: section with the full learning rate.
        schedule: section with milestones or plateaus, and the warm-up.
        depth: depth of the network. Networks below `schedule.warmup.from_depth`, or of unknown depth (None), do not
            warm up.
    """

    def __init__(self, optimizer: OptimizerConfig, schedule: ScheduleConfig, depth: int | None) -> None:
        self.full_learning_rate = optimizer.lr
        self.milestones, self.gamma = list(schedule.milestones), schedule.gamma
        self._plateau = schedule.plateau
        self._lowest_error, self._waited = float("inf"), 0
        deep = schedule.warmup is not None and depth is not None and depth >= schedule.warmup.from_depth
        self._warmup = schedule.warmup if deep else None
        self.warmup_ended_at: int | None = None

    @property
    def warming_up(self) -> WarmupConfig | None:
        """The current warm-up, or None."""
        return self._warmup if self.warmup_ended_at is None else None

    @property
    def changes(self) -> list[int]:
        """The steps done before each change that is known: milestones, plateaus, and the end of the warm-up."""
        return self.milestones if self.warmup_ended_at is None else [*self.milestones, self.warmup_ended_at]

    def next_decision(self, step: int, val_every: int) -> int | None:
        """Return the steps done when the errors next decide on a change, after `step`; None if they never do.

        Args:
            val_every: steps between validations.
        """
        if self.warming_up:
            every = self.warming_up.window
        elif self._plateau:
            every = val_every
        else:
            return None
        return (step // every + 1) * every

    def at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0; milestone m is the first step with a lower one."""
        base = self.warming_up.lr if self.warming_up else self.full_learning_rate
        return base * self.gamma ** bisect_right(self.milestones, step)

    def observe_training(self, steps_done: int, train_error: float) -> None:
        """End the warm-up if the training error over the last window, in percent, is low enough."""
        if self.warming_up and train_error < self.warming_up.until_train_error:
            self.warmup_ended_at = steps_done

    def observe_validation(self, steps_done: int, val_error: float) -> None:
        """Lower the learning rate from the next step on if the validation error, in percent, has stopped falling."""
        if self._plateau is None or self.warming_up:
            return
        if val_error < self._lowest_error - self._plateau.min_change:
            self._lowest_error, self._waited = val_error, 0
            return
        self._waited += 1
        if self._waited == self._plateau.patience:
            self.milestones.append(steps_done)
            self._waited = 0

    def state_dict(self) -> dict[str, Any]:
        return {
            "warmup_ended_at": self.warmup_ended_at,
            "milestones": self.milestones,
            "lowest_error": self._lowest_error,
            "waited": self._waited,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.warmup_ended_at = state["warmup_ended_at"]
        self.milestones = list(state["milestones"])
        self._lowest_error, self._waited = state["lowest_error"], state["waited"]
