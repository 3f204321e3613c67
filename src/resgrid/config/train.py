"""The sections `optimizer`, `schedule` and `train`, and the sections that the pipeline stage `train` reads."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from resgrid.config.augment import AugmentConfig
from resgrid.config.reading import Section

Percent = Annotated[float, Field(gt=0, le=100)]


class OptimizerConfig(Section):
    """Stochastic gradient descent with momentum."""

    lr: Annotated[float, Field(gt=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]


class WarmupConfig(Section):
    """The low learning rate with which very deep networks start (paper, section 4.2: depth 110).

    Attributes:
        from_depth: smallest depth of networks that warm up.
        lr: learning rate during the warm-up.
        until_train_error: percent; the warm-up ends when the training error over the last `window` steps is below it.
        window: steps over which the training error is averaged, and between two checks.
    """

    from_depth: Annotated[int, Field(ge=8)]
    lr: Annotated[float, Field(gt=0)]
    until_train_error: Percent
    window: Annotated[int, Field(ge=1)]


class PlateauConfig(Section):
    """Drops of the learning rate "when the error plateaus" (paper, section 3.4), in place of milestones.

    Attributes:
        patience: consecutive validations without a new lowest validation error after which the learning rate drops;
            then counting restarts.
        min_change: percentage points by which an error must be below the previous lowest error to count as lower.
    """

    patience: Annotated[int, Field(ge=1)]
    min_change: Annotated[float, Field(ge=0, lt=100)]


class ScheduleConfig(Section):
    """The learning rate by step.

    Attributes:
        milestones: steps at which the learning rate is multiplied by `gamma`.
        plateau: multiply by `gamma` when the validation error plateaus, in place of milestones; None uses milestones.
        warmup: low learning rate at the start; None for none.
    """

    milestones: list[Annotated[int, Field(ge=1)]]
    gamma: Annotated[float, Field(gt=0, lt=1)]
    plateau: PlateauConfig | None = None
    warmup: WarmupConfig | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.plateau is not None and self.milestones:
            raise ValueError(f"milestones: {self.milestones}: doesn't fit a plateau rule; set []")
        return self

    @field_validator("milestones")
    @classmethod
    def _milestones_grow(cls, milestones: list[int]) -> list[int]:
        for index in range(1, len(milestones)):
            if milestones[index] <= milestones[index - 1]:
                raise ValueError(
                    f"[{index}]: {milestones[index]}: is not above {milestones[index - 1]}; list increasing steps"
                )
        return milestones


class TrainConfig(Section):
    """The training loop.

    Attributes:
        max_steps: optimizer steps; the schedule counts in steps, as in the paper.
        batch_size: images per step, over all devices together.
        val_every: steps between validations; each writes a row of `curve.csv`.
        precision: `32`, `bf16`, or `auto` (bf16 where it is faster, else 32).
        devices: `auto` for all GPUs of the machine or else one CPU process; or a number of processes.
        num_nodes: machines of a multi-node run, started by torchrun or Slurm.
        threads: CPU threads per process. They change the order of sums, so they are part of the experiment.
        sync_batchnorm: batch normalization over the global batch instead of each device's part.
        deterministic: use deterministic algorithms only.
        compile: run the network through `torch.compile`.
        anchors: keep states of the training, from which `make accept` replays its later steps.
    """

    max_steps: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=2)]
    val_every: Annotated[int, Field(ge=1)]
    precision: Literal["auto", "32", "bf16"]
    devices: Literal["auto"] | Annotated[int, Field(ge=1)]
    num_nodes: Annotated[int, Field(ge=1)] = 1
    threads: Annotated[int, Field(ge=1, le=512)]
    sync_batchnorm: bool = False
    deterministic: bool = True
    compile: bool = False
    anchors: bool = True

    @field_validator("precision", mode="before")
    @classmethod
    def _without_quotes(cls, value: object) -> object:
        """Accept the number that `dvc exp run -S train.precision=32` writes."""
        return str(value) if value == 32 else value

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.max_steps % self.val_every:
            raise ValueError(
                f"val_every: {self.val_every}: leaves the last step without validation; "
                f"use a divisor of max_steps, {self.max_steps}"
            )
        if self.devices != "auto" and self.batch_size % (self.devices * self.num_nodes):
            raise ValueError(
                f"batch_size: {self.batch_size}: can't be divided evenly over {self.devices} devices × "
                f"{self.num_nodes} nodes; use a multiple of their product"
            )
        return self


class TrainParams(Section):
    """The sections that the pipeline stage `train` reads: its parameters in dvc.yaml."""

    augment: AugmentConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    train: TrainConfig

    @model_validator(mode="after")
    def _schedule_fits_the_training(self) -> Self:
        mistakes: list[str] = []
        for index, milestone in enumerate(self.schedule.milestones):
            if milestone >= self.train.max_steps:
                mistakes.append(
                    f"schedule.milestones[{index}]: {milestone}: is after the end; use steps below train.max_steps, "
                    f"{self.train.max_steps}"
                )
        warmup = self.schedule.warmup
        if warmup is not None and warmup.lr >= self.optimizer.lr:
            mistakes.append(
                f"schedule.warmup.lr: {warmup.lr}: is not a warm-up; use less than optimizer.lr, {self.optimizer.lr}"
            )
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self
