"""Learning rates at given steps, and the warm-up of very deep networks."""

import pytest

from resgrid.config.train import OptimizerConfig, PlateauConfig, ScheduleConfig, WarmupConfig
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
def test_the_learning_rate_drops_at_the_milestones(step: int, rate: float) -> None:
    assert LearningRate(SGD, PAPER, depth=56).at(step) == pytest.approx(rate, rel=1e-12)


def test_a_deep_network_warms_up_until_its_error_is_low() -> None:
    rate = LearningRate(SGD, PAPER, depth=110)
    assert rate.at(0) == 0.01
    rate.observe_training(50, train_error=88.0)
    rate.observe_training(100, train_error=80.0)
    assert rate.at(100) == 0.01
    rate.observe_training(150, train_error=79.9)
    assert rate.at(150) == 0.1
    assert rate.warmup_ended_at == 150
    rate.observe_training(200, train_error=95.0)  # a later bad window does not restart the warm-up
    assert rate.at(200) == 0.1
    assert rate.at(32_000) == pytest.approx(0.01)


PLATEAU = ScheduleConfig(milestones=[], gamma=0.1, plateau=PlateauConfig(patience=2, min_change=0.5))


def test_the_learning_rate_falls_when_the_validation_error_stops_falling() -> None:
    rate = LearningRate(SGD, PLATEAU, depth=34)
    # 49.6 is less than half a point below 50, so it is not a new lowest error; 49.4 is.
    for step, error in ((10, 50.0), (20, 49.6), (30, 49.4), (40, 49.4), (50, 60.0)):
        assert rate.at(step - 1) == pytest.approx(0.1)
        rate.observe_validation(step, error)
    assert (rate.at(49), rate.at(50)) == (pytest.approx(0.1), pytest.approx(0.01))
    # The count starts again: 48.8 is a new lowest error, the next two are not.
    for step, error in ((60, 49.0), (70, 48.8), (80, 48.8), (90, 48.4)):
        assert rate.at(step - 1) == pytest.approx(0.01)
        rate.observe_validation(step, error)
    assert rate.at(90) == pytest.approx(0.001)
    assert rate.milestones == [50, 90]


def test_a_resumed_plateau_continues_its_count() -> None:
    whole = LearningRate(SGD, PLATEAU, depth=34)
    errors = [50.0, 49.0, 49.0, 49.0, 47.0, 48.0, 48.0, 48.0]
    for index, error in enumerate(errors):
        whole.observe_validation(index + 1, error)
    for killed_after in range(len(errors)):
        first, second = LearningRate(SGD, PLATEAU, depth=34), LearningRate(SGD, PLATEAU, depth=34)
        for index, error in enumerate(errors):
            if index == killed_after:
                second.load_state_dict(first.state_dict())
            (first if index < killed_after else second).observe_validation(index + 1, error)
        assert second.state_dict() == whole.state_dict()
    assert whole.milestones == [4, 7]


def test_no_plateau_is_seen_during_the_warm_up_and_none_with_milestones() -> None:
    warm = LearningRate(SGD, PLATEAU.model_copy(update={"warmup": PAPER.warmup}), depth=110)
    steady = LearningRate(SGD, PAPER, depth=56)
    for rate in (warm, steady):
        for step in range(1, 9):
            rate.observe_validation(step, 90.0)
    assert (warm.at(9), steady.at(9)) == (0.01, 0.1)
