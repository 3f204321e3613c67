"""Speeds of the product's training loop, the bare loop that bounds it, and the usual loop, for one network."""

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

# Fewer rounds for the other precision: if bf16 is emulated, these are the longest loops.
OTHER_ROUNDS = 2
MIN_STEPS = 5


@dataclass(frozen=True)
class Speeds:
    """One network's measurements. Ratios of speeds are taken within each round; above 1, the first loop is faster.

    Attributes:
        steps: steps in each timed stretch.
        precision: the precision that `auto` chooses here.
        images_per_second: speed of each contender.
        vs_bound: product over bare loop.
        vs_usual: product over usual loop.
        bound_vs_usual: bare loop over usual loop, the limit of hardware, precision and layout.
        layout_gain: bare loop in channels-last layout over contiguous layout.
        deterministic_cost: loss of speed by `train.deterministic`, 0.05 for 5%; negative for a gain.
        other_precision: the precision that `auto` does not choose.
        other_vs_auto: product in the other precision over product.
        other_vs_bound: product over bare loop, both in the other precision.
        schedule_hours: hours of the paper's 64,000 steps, without validation.
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
        """Median time of the product's step."""
        return self.schedule_hours * 3600 / PAPER_STEPS


PAPER_STEPS = 64_000


def measure_speeds(network: str, config: Config, card: DatasetCard, rounds: int, stretch_seconds: float) -> Speeds:
    """Measure the speeds of all loops for one network.

    Args:
        network: name of the network.
        config: the product's configuration, with precision `auto`.
        card: card of the prepared data in the working folder.
        rounds: turns of each contender.
        stretch_seconds: approximate length of a timed stretch.
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
    in_turns(contenders, 1, rounds=1)  # the first use of each kernel and the first start of workers are slow
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
    """Return the median time of a step of the product's loop."""
    product = ProductLoop(network, config, card)
    product(1)  # the first use of each kernel is slow
    steps = max(MIN_STEPS, round(stretch_seconds / product(1)))
    return Spread.of(in_turns({PRODUCT: product}, steps, rounds)[PRODUCT]).median


def with_train(config: Config, **changes: object) -> Config:
    """Return the configuration with some parameters of the section `train` changed."""
    return config.model_copy(update={"train": config.train.model_copy(update=changes)})


def flat_out(config: Config, threads: int) -> Config:
    """Return the configuration without validations and checkpoints in a stretch of any length."""
    never = config.machine.model_copy(update={"checkpoint_every": PAPER_STEPS})
    config = config.model_copy(update={"machine": never})
    return with_train(config, precision="auto", threads=threads, max_steps=PAPER_STEPS, val_every=PAPER_STEPS)
