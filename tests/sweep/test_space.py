"""The space of a search: its notation, its checks, what is proposed, and what ASHA and the journal make of trials."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from resgrid.config.reading import ConfigError, read_params
from resgrid.config.search import AshaConfig
from resgrid.config.whole import check_params, load_config
from resgrid.presets import preset_path
from resgrid.sweep.search import experiment_line
from resgrid.sweep.space import Configuration, Space
from resgrid.sweep.trials import DONE, STARTED, STOPPED, Journal, Trial

ROOT = Path(__file__).parents[2]
PARAMS = Path("params.yaml")


@pytest.fixture
def values() -> dict[str, Any]:
    return read_params(ROOT / "presets/digits.yaml")


def space_of(values: dict[str, Any], **distributions: dict[str, list[Any]]) -> Space:
    return Space({name.replace("__", "."): value for name, value in distributions.items()}, values, PARAMS)


def proposals(values: dict[str, Any], space: Space, count: int, searcher: str = "random") -> list[Configuration | None]:
    """Points proposed one after the other; each trial errs by 100 times its distance from 0.01."""
    config = check_params(values, PARAMS).search.model_copy(update={"searcher": searcher})
    trials: list[Trial] = []
    points: list[Configuration | None] = []
    for number in range(count):
        point = space.propose(config, number, trials)
        points.append(point)
        if point is not None:
            trials.append(Trial(number, point, DONE, [(28, 100 * abs(point["optimizer.lr"] - 0.01))]))
    return points


@pytest.mark.parametrize(
    ("distribution", "wrong"),
    [
        ([0.1, 1], "[0.1, 1]: is not a distribution; use {log: [low, high]}, {uniform: …}, {int: …} or {choice: […]}"),
        ({"lag": [1, 2]}, "{'lag': [1, 2]}: is not a distribution"),
        ({"log": [1, 2], "int": [1, 2]}, "{'log': [1, 2], 'int': [1, 2]}: is not a distribution"),
        ({"log": [0, 1]}, "log: [0, 1]: has no logarithm; use numbers above 0"),
        ({"log": [0.1]}, "log: [0.1]: is not a range; use two numbers [low, high], low below high"),
        ({"uniform": [1, 0.5]}, "uniform: [1, 0.5]: is not a range; use two numbers [low, high], low below high"),
        ({"uniform": ["a", "b"]}, "uniform: ['a', 'b']: is not a range; use two numbers"),
        ({"uniform": [0, float("inf")]}, "uniform: [0, inf]: is not a range; use two numbers"),
        ({"int": [1, 2.5]}, "int: [1, 2.5]: is not a range; use two whole numbers"),
        ({"int": [False, True]}, "int: [False, True]: is not a range; use two whole numbers"),
        ({"choice": []}, "choice: []: is not a list of values"),
        ({"choice": [1, 2, 1]}, "choice: 1: is a duplicate"),
    ],
)
def test_a_wrong_distribution_is_named_with_its_place(values: dict[str, Any], distribution: Any, wrong: str) -> None:
    values["search"]["space"]["optimizer.lr"] = distribution
    with pytest.raises(ConfigError) as error:
        check_params(values, PARAMS)
    assert str(error.value).splitlines()[1].strip().startswith(f"search.space.optimizer.lr: {wrong}")


def test_the_section_names_a_known_network_and_searcher(values: dict[str, Any]) -> None:
    def lines(**changes: Any) -> list[str]:
        with pytest.raises(ConfigError) as error:
            check_params(values | {"search": values["search"] | changes}, PARAMS)
        return [line.strip() for line in str(error.value).splitlines()[1:]]

    (line,) = lines(network="resnet21-A")
    assert line.startswith("search.network: 'resnet21-A': depth 21 is not 6n+2; use")
    places = [line.partition(":")[0] for line in lines(searcher="grid", trials=0, space={})]
    assert places == ["search.trials", "search.searcher", "search.space"]


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "presets").glob("*.yaml")))
def test_each_preset_has_a_space_that_fits_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    path = preset_path(name)
    config = load_config(path)
    Space(config.search.space, read_params(path), path).check()
    assert config.search.network in config.grid.network
    assert config.search.seed in config.grid.seed
    assert config.search.asha is not None
    assert config.search.asha.grace_steps % config.train.val_every == 0
    assert config.search.asha.grace_steps < config.train.max_steps


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "optimizer.rate",
            r"search\.space: optimizer\.rate: not a parameter of training .* use augment\.norm",
        ),
        ("optimizer", "not a parameter of training"),
        ("data.name", "not a parameter of training"),
        ("schedule.warmup.lr", "not a parameter of training"),  # digits have no warm-up
        ("train.max_steps", "all trials train for the same number of steps"),
    ],
)
def test_what_is_no_parameter_of_the_training_is_refused(values: dict[str, Any], name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space({name: {"choice": [1, 2]}}, values, PARAMS).check()


def test_a_corner_that_the_parameters_rule_out_is_refused_with_its_reason(values: dict[str, Any]) -> None:
    values["schedule"]["warmup"] = {"from_depth": 8, "lr": 0.01, "until_train_error": 80, "window": 1}
    space = space_of(values, optimizer__lr={"log": [0.02, 1.0]}, schedule__warmup__lr={"log": [0.001, 0.05]})
    with pytest.raises(ValueError, match="not valid in") as error:
        space.check()
    assert str(error.value) == (
        "search.space: optimizer.lr=0.02, schedule.warmup.lr=0.05: not valid in params.yaml; exclude it:\n"
        "  schedule.warmup.lr: 0.05: is not a warm-up; use less than optimizer.lr, 0.02"
    )
    space_of(values, optimizer__lr={"log": [0.06, 1.0]}, schedule__warmup__lr={"log": [0.001, 0.05]}).check()


def test_with_too_many_corners_each_parameter_is_tried_by_itself(values: dict[str, Any]) -> None:
    many = {"choice": [number / 100 for number in range(1, 60)]}
    space_of(values, optimizer__lr=many, optimizer__momentum=many).check()
    with pytest.raises(ValueError, match=r"train\.val_every=27: not valid in"):
        space_of(values, optimizer__lr=many, optimizer__momentum=many, train__val_every={"choice": [28, 27]}).check()


def test_the_first_trial_has_the_present_parameters_and_the_others_lie_in_the_space(values: dict[str, Any]) -> None:
    space = space_of(
        values,
        optimizer__lr={"log": [0.001, 0.1]},
        optimizer__momentum={"uniform": [0.5, 0.9]},
        augment__pad={"int": [0, 2]},
        schedule__milestones={"choice": [[100], [100, 200]]},
    )
    first, *others = proposals(values, space, 200)
    assert first == {
        "optimizer.lr": 0.1,
        "optimizer.momentum": 0.9,
        "augment.pad": 1,
        "schedule.milestones": [210, 315],
    }
    drawn = [point for point in others if point is not None]
    assert len(drawn) == 199
    rates = sorted(point["optimizer.lr"] for point in drawn)
    assert rates[0] >= 0.001
    assert rates[-1] <= 0.1
    assert 0.006 < rates[100] < 0.017  # the middle of the logarithms is 0.01
    assert all(0.5 <= point["optimizer.momentum"] <= 0.9 for point in drawn)
    assert {point["augment.pad"] for point in drawn} == {0, 1, 2}
    assert [point for point in drawn if point["schedule.milestones"] not in ([100], [100, 200])] == []
    assert all(rate == float(f"{rate:.4g}") for rate in rates)


@pytest.mark.parametrize("searcher", ["random", "optuna"])
def test_the_same_search_proposes_the_same_points(values: dict[str, Any], searcher: str) -> None:
    space = space_of(values, optimizer__lr={"log": [0.001, 1.0]})
    points = proposals(values, space, 16, searcher)
    assert points == proposals(values, space, 16, searcher)
    values["search"]["seed"] = 1
    assert points[1:] != proposals(values, space, 16, searcher)[1:]


def test_random_points_depend_on_no_other_trial_nor_parameter(values: dict[str, Any]) -> None:
    config = check_params(values, PARAMS).search
    space = space_of(values, optimizer__lr={"log": [0.001, 1.0]})
    other = space_of(values, optimizer__lr={"log": [0.001, 1.0]}, augment__pad={"int": [0, 3]})
    some = [Trial(0, {"optimizer.lr": 0.5})]
    point, bigger = space.propose(config, 7, some), other.propose(config, 7, some)
    assert point is not None
    assert bigger is not None
    assert bigger["optimizer.lr"] == point["optimizer.lr"]


def test_no_point_is_tried_twice(values: dict[str, Any]) -> None:
    space = space_of(values, optimizer__lr={"choice": [0.1, 0.2, 0.3]}, augment__pad={"int": [1, 4]})
    for searcher in ("random", "optuna"):
        points = proposals(values, space, 14, searcher)
        found = sorted((point["optimizer.lr"], point["augment.pad"]) for point in points if point)
        assert found == [(rate, pad) for rate in (0.1, 0.2, 0.3) for pad in (1, 2, 3, 4)]
        assert points[12:] == [None, None]


def test_optuna_learns_and_takes_every_kind_of_trial(values: dict[str, Any]) -> None:
    space = space_of(values, optimizer__lr={"log": [0.0001, 1.0]})
    points = [point["optimizer.lr"] for point in proposals(values, space, 40, "optuna") if point]
    assert sum(rate < 0.02 for rate in points[30:]) > sum(rate < 0.02 for rate in points[1:11])
    config = check_params(values, PARAMS).search.model_copy(update={"searcher": "optuna"})
    outside = space_of(values, optimizer__lr={"log": [0.2, 1.0]}, augment__flip={"choice": [True, False]})
    trials = [
        Trial(0, {"optimizer.lr": 0.1, "augment.flip": False}, DONE, [(28, 3.0)]),
        Trial(1, {"optimizer.lr": 0.3, "augment.flip": True}, STOPPED, [(28, 30.0)]),
        Trial(2, {"optimizer.lr": 0.4, "augment.flip": False}, STARTED),
    ]
    point = outside.propose(config, 3, trials)
    assert point is not None
    assert point["augment.flip"] in (True, False)


def test_the_journal_brings_trials_back_and_drops_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "area/journal.jsonl"
    journal = Journal(path)
    journal.begin_search("abc")
    first, second = Trial(0, {"optimizer.lr": 0.1}), Trial(1, {"optimizer.lr": 0.2})
    journal.begin(first)
    journal.begin(second)
    first.state, first.validations, first.run_id = DONE, [(28, 50.0), (56, 12.5)], "def"
    journal.end(first)
    journal.add_validation(second, 28, 60.0)
    journal.add_validation(second, 56, 30.0)
    journal.add_validation(second, 28, 60.0)  # again, from a checkpoint before it
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"number": 1, "para')
    again = Journal(path)
    assert again.parent_run == "abc"
    assert again.trials == [first, second]
    assert again.ended == [first]
    assert again.trials[1].validations == [(28, 60.0), (56, 30.0)]
    assert again.best == first
    assert (first.step, first.val_error) == (56, 12.5)
    assert path.read_bytes() == whole
    second.state, second.validations = STOPPED, [(28, 5.0)]
    again.end(second)
    assert Journal(path).best == first  # a trial that didn't train to the end is no answer


def test_asha_remembers_the_trials_before_an_interruption() -> None:
    from ray.tune.experiment import Trial as TuneTrial

    from resgrid.sweep.run_trials import make_scheduler

    past = [
        Trial(0, {}, DONE, [(28, 40.0), (56, 20.0)]),
        Trial(1, {}, STOPPED, [(28, 60.0)]),
        Trial(2, {}, STARTED, [(28, 99.0)]),
    ]

    def decisions(asha: AshaConfig | None, name: str, *validations: tuple[int, float]) -> list[str]:
        scheduler = make_scheduler(asha, 100, past)
        trial, nothing = TuneTrial("train", stub=True, config={"cell": name}), None
        scheduler.on_trial_add(nothing, trial)  # pyright: ignore[reportArgumentType]
        results = [{"step": step, "val_error": error} for step, error in validations]
        return [scheduler.on_trial_result(nothing, trial, result) for result in results]  # pyright: ignore[reportArgumentType]

    asha = AshaConfig(grace_steps=28, reduction=2)
    # The better half at step 28 is what errs less than the median of 40 and 60.
    passed = decisions(asha, "trial-003", (14, 99.0), (28, 49.0), (42, 99.0), (56, 19.0), (100, 99.0))
    assert passed == ["CONTINUE"] * 5
    assert decisions(asha, "trial-003", (28, 51.0)) == ["STOP"]
    assert decisions(asha, "trial-003", (28, 49.0), (56, 21.0)) == ["CONTINUE", "STOP"]
    # This one was the first at step 28 before the interruption, and was let go on.
    assert decisions(asha, "trial-002", (28, 99.0), (56, 19.0)) == ["CONTINUE", "CONTINUE"]
    assert decisions(asha, "trial-002", (28, 99.0), (56, 21.0)) == ["CONTINUE", "STOP"]
    assert decisions(None, "trial-003", (28, 99.0)) == ["CONTINUE"]


def test_the_line_for_dvc_sets_just_these_parameters(tmp_path: Path) -> None:
    from dvc.utils.hydra import apply_overrides

    point = {
        "optimizer.lr": 0.0123,
        "optimizer.weight_decay": 1e-05,
        "augment.flip": True,
        "augment.normalize": "channel",
        "schedule.milestones": [100, 200],
        "schedule.warmup": None,
    }
    line = experiment_line(point)
    assert line.startswith("dvc exp run -S optimizer.lr=0.0123 -S optimizer.weight_decay=1e-05 -S augment.flip=true ")
    words = shlex.split(line)
    path = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", path)
    apply_overrides(path, [setting for flag, setting in zip(words[3::2], words[4::2], strict=True) if flag == "-S"])
    before, after = load_config(ROOT / "params.yaml"), load_config(path)
    assert (after.optimizer.lr, after.optimizer.weight_decay) == (0.0123, 1e-05)
    assert (after.augment.flip, after.augment.normalize) == (True, "channel")
    assert after.schedule.milestones == [100, 200]
    assert after.search == before.search
