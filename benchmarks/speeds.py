"""The product's training loop beside the bare loop that bounds it and the usual loop, in turns, for one network."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmarks.loops import BareLoop, ProductLoop
from benchmarks.timing import Contender, Spread, in_turns, speed_ratio
from benchmarks.usual_loop import UsualLoop
from resgrid.artifacts.data_card import DatasetCard
from resgrid.config.whole import Config
from resgrid.hardware import Precision, choose_precision

PRODUCT, BOUND, USUAL = "product", "bare loop", "usual loop"
FREE, CONTIGUOUS, OTHER, OTHER_BOUND = (
    "product, not deterministic",
    "bare loop, contiguous",
    "product, other precision",
    "bare loop, other precision",
)

# Turns that only inform get fewer rounds: where bf16 is emulated they are the longest of all.
OTHER_ROUNDS = 2
MIN_STEPS = 5


@dataclass(frozen=True)
class Speeds:
    """One network's measurements. Ratios are of speeds, taken within each round: above 1 the first one is faster.

    Attributes:
        steps: in each timed stretch.
        precision: that `auto` means here.
        images_per_second: of each contender.
        vs_bound: product over bare loop.
        vs_usual: product over usual loop.
        bound_vs_usual: bare loop over usual loop: what the hardware, precision and layout allow at most.
        layout_gain: bare loop in channels-last layout over contiguous.
        deterministic_cost: part of the speed that `train.deterministic` takes, 0.05 for 5 %; negative if it gains.
        other_precision: that `auto` didn't choose.
        other_vs_auto: product in the other precision over product.
        other_vs_bound: likewise over the bare loop in the other precision.
        schedule_hours: of the paper's 64,000 steps, without validation.
    """

    network: str
    steps: int
    rounds: int
    precision: Precision
    images_per_second: dict[str, Spread]
    vs_bound: Spread
    vs_usual: Spread
    bound_vs_usual: Spread
    layout_gain: Spread
    deterministic_cost: Spread
    other_precision: Precision
    other_vs_auto: Spread
    other_vs_bound: Spread
    schedule_hours: float

    @property
    def step_seconds(self) -> float:
        """Of the product, the median."""
        return self.schedule_hours * 3600 / PAPER_STEPS


PAPER_STEPS = 64_000


def measure_speeds(network: str, config: Config, card: DatasetCard, rounds: int, stretch_seconds: float) -> Speeds:
    """
    Args:
        network: to train.
        config: the product's, with the precision `auto`.
        card: of the prepared data in the working folder.
        rounds: turns of each contender.
        stretch_seconds: about how long a timed stretch lasts.
    """
    precision = choose_precision("auto")
    other: Precision = "32" if precision == "bf16" else "bf16"
    in_other = with_train(config, precision=other)
    bound = BareLoop(network, config, card)
    contenders: dict[str, Contender] = {
        PRODUCT: ProductLoop(network, config, card),
        BOUND: bound,
        USUAL: UsualLoop(network, config, card),
        FREE: ProductLoop(network, with_train(config, deterministic=False), card),
        CONTIGUOUS: BareLoop(network, config, card, torch.contiguous_format),
    }
    others: dict[str, Contender] = {
        PRODUCT: contenders[PRODUCT],
        OTHER: ProductLoop(network, in_other, card),
        OTHER_BOUND: BareLoop(network, in_other, card),
    }
    in_turns(contenders, 1, rounds=1)  # the first use of each kernel and the first worker start are no one's fault
    steps = max(MIN_STEPS, round(stretch_seconds / bound(1)))
    seconds = in_turns(contenders, steps, rounds)
    other_seconds = in_turns(others, steps, min(rounds, OTHER_ROUNDS))
    per_step = {**other_seconds, **seconds}
    images = {name: Spread.of(config.train.batch_size / value for value in values) for name, values in per_step.items()}
    free = speed_ratio(seconds, PRODUCT, FREE)
    return Speeds(
        network=network,
        steps=steps,
        rounds=rounds,
        precision=precision,
        images_per_second=images,
        vs_bound=speed_ratio(seconds, PRODUCT, BOUND),
        vs_usual=speed_ratio(seconds, PRODUCT, USUAL),
        bound_vs_usual=speed_ratio(seconds, BOUND, USUAL),
        layout_gain=speed_ratio(seconds, BOUND, CONTIGUOUS),
        deterministic_cost=Spread(1 - free.median, 1 - free.high, 1 - free.low),
        other_precision=other,
        other_vs_auto=speed_ratio(other_seconds, OTHER, PRODUCT),
        other_vs_bound=speed_ratio(other_seconds, OTHER, OTHER_BOUND),
        schedule_hours=PAPER_STEPS * Spread.of(seconds[PRODUCT]).median / 3600,
    )


def measure_step_seconds(network: str, config: Config, card: DatasetCard, rounds: int, stretch_seconds: float) -> float:
    """The product's time for a step alone, the median of some stretches."""
    product = ProductLoop(network, config, card)
    product(1)  # the first use of each kernel is slower
    steps = max(MIN_STEPS, round(stretch_seconds / product(1)))
    return Spread.of(in_turns({PRODUCT: product}, steps, rounds)[PRODUCT]).median


def with_train(config: Config, **changes: object) -> Config:
    """The configuration with some parameters of its section `train` changed."""
    return config.model_copy(update={"train": config.train.model_copy(update=changes)})


def flat_out(config: Config, threads: int) -> Config:
    """The configuration with nothing but steps for a stretch of any length: no validation, no checkpoint."""
    never = config.machine.model_copy(update={"checkpoint_every": PAPER_STEPS})
    config = config.model_copy(update={"machine": never})
    return with_train(config, precision="auto", threads=threads, max_steps=PAPER_STEPS, val_every=PAPER_STEPS)
