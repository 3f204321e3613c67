"""Learning rates at given steps, and the warm-up of very deep networks."""

import pytest

from resgrid.config import OptimizerConfig, ScheduleConfig, WarmupConfig
from resgrid.training.schedule import LearningRate

SGD = OptimizerConfig(lr=0.1, momentum=0.9, weight_decay=1e-4)
PAPER = ScheduleConfig(
    milestones=[32_000, 48_000],
    gamma=0.1,
    warmup=WarmupConfig(from_depth=110, lr=0.01, until_train_error=80, window=50),
)


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.1), (31_999, 0.1), (32_000, 0.01), (47_999, 0.01), (48_000, 0.001), (63_999, 0.001)],
)
def test_the_rate_drops_at_the_milestones(step: int, rate: float) -> None:
    assert LearningRate(SGD, PAPER, depth=56).at(step) == pytest.approx(rate, rel=1e-12)


def test_a_deep_network_warms_up_until_its_error_is_low_and_returns_to_the_full_rate() -> None:
    rate = LearningRate(SGD, PAPER, depth=110)
    assert rate.at(0) == 0.01
    rate.observe_training(50, train_error=88.0)
    rate.observe_training(100, train_error=80.0)
    assert rate.at(100) == 0.01
    rate.observe_training(150, train_error=79.9)
    assert rate.at(150) == 0.1
    assert rate.warmup_ended_at == 150
    rate.observe_training(200, train_error=95.0)  # a bad window later doesn't bring the warm-up back
    assert rate.at(200) == 0.1
    assert rate.at(32_000) == pytest.approx(0.01)
