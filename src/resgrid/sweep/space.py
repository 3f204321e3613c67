"""The space of a search: which parameters vary, over what, and the next point to try.

A point is a function of the search's seed, the trial's number and (Optuna) the trials before: an interrupted search
goes on as if nothing had happened.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from resgrid.artifacts.files import sha256_of_text
from resgrid.config.reading import with_changes
from resgrid.config.search import SearchConfig
from resgrid.config.train import TrainParams
from resgrid.config.whole import check_params

Point = dict[str, Any]

# The same for all trials: their errors are compared at equal steps.
FIXED = ("train.max_steps",)
MAX_POINTS = 2048
DIGITS = 4
DRAWS = 20


class Tried(Protocol):
    """What a search knows of an earlier trial.

    Attributes:
        validations: step and validation error in percent, in order.
        state: `started`, `done` or `stopped` (early).
    """

    @property
    def parameters(self) -> Point: ...
    @property
    def validations(self) -> list[tuple[int, float]]: ...
    @property
    def state(self) -> str: ...


@dataclass(frozen=True)
class Space:
    """The section `search.space` over the values of a parameter file.

    Attributes:
        distributions: by dotted name, as in the section.
        values: all of `params.yaml`, plain.
        path: of that file, for messages.
    """

    distributions: dict[str, dict[str, list[Any]]]
    values: dict[str, Any]
    path: Path

    def check(self) -> None:
        """Try the ends of each distribution, all values of a choice, and their combinations.

        Raises:
            ValueError: a name is no parameter of the training, or a combination is not allowed in `params.yaml`.
        """
        allowed = [name for name in _leaves(self.values, list(TrainParams.model_fields)) if name not in FIXED]
        for name in self.distributions:
            if name in FIXED:
                raise ValueError(f"search.space: {name}: all trials of a search train for the same number of steps")
            if name not in allowed:
                raise ValueError(
                    f"search.space: {name}: no parameter of the training in {self.path}; "
                    f"allowed are {', '.join(allowed)}"
                )
        for point in self._corners():
            self.settle(point)

    def present(self) -> Point:
        """The values that `params.yaml` has now."""
        return {name: _get(self.values, name) for name in self.distributions}

    def settle(self, point: Point) -> dict[str, Any]:
        """The values of `params.yaml` with those of a point, checked as a whole.

        Raises:
            ValueError: they are not allowed; the message says which and why.
        """
        values = with_changes(self.values, point)
        try:
            check_params(values, self.path)
        except ValueError as error:
            reasons = str(error).splitlines()[1:]
            raise ValueError(
                "\n".join([f"search.space allows {in_words(point)}, with which {self.path} is not valid:", *reasons])
            ) from None
        return values

    def propose(self, config: SearchConfig, number: int, tried: Sequence[Tried]) -> Point | None:
        """The parameters of the next trial, none twice; None if the space holds no others.

        The first trial has the parameters of `params.yaml` as they stand: what the search has to beat.

        Args:
            number: of the trial.
            tried: all trials before it, in their order.
        """
        if not tried:
            return self.present()
        known = [trial.parameters for trial in tried]
        untried = [point for point in self._all_points() if point not in known]
        if self._is_small and not untried:
            return None
        for draw in range(DRAWS):
            seed = f"{config.seed} {number} {draw}"
            point = self._ask_optuna(seed, tried) if config.searcher == "optuna" else self._draw(seed)
            if point not in known:
                return point
        return random.Random(f"{config.seed} {number}").choice(untried) if untried else None

    def _draw(self, seed: str) -> Point:
        # A generator of its own for each parameter: another one in the space changes nothing about the others.
        return {
            name: _draw(distribution, random.Random(f"{seed} {name}"))
            for name, distribution in self.distributions.items()
        }

    def _ask_optuna(self, seed: str, tried: Iterable[Tried]) -> Point:
        """Optuna's proposal after these trials: its study is made anew each time, and has no state of its own."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        distributions = {name: _for_optuna(distribution) for name, distribution in self.distributions.items()}
        sampler = optuna.samplers.TPESampler(seed=int(sha256_of_text(seed)[:8], 16))
        study = optuna.create_study(sampler=sampler, direction="minimize")
        states = {
            "done": optuna.trial.TrialState.COMPLETE,
            "stopped": optuna.trial.TrialState.PRUNED,
            "started": optuna.trial.TrialState.RUNNING,
        }
        for trial in tried:
            if not all(_contains(self.distributions[name], value) for name, value in trial.parameters.items()):
                continue  # the first trial may lie outside the space
            study.add_trial(
                optuna.trial.create_trial(
                    state=states[trial.state],
                    params={
                        name: _unsettled(self.distributions[name], trial.parameters[name]) for name in distributions
                    },
                    distributions=distributions,
                    value=trial.validations[-1][1] if trial.state == "done" else None,
                    intermediate_values=dict(trial.validations) if trial.state != "started" else None,
                )
            )
        asked = study.ask(distributions).params
        return {name: _settled(self.distributions[name], asked[name]) for name in self.distributions}

    @property
    def _is_small(self) -> bool:
        """Whether the points can be counted."""
        return all(kind in ("choice", "int") for each in self.distributions.values() for kind in each) and (
            math.prod(_size(distribution) for distribution in self.distributions.values()) <= MAX_POINTS
        )

    def _all_points(self) -> Iterator[Point]:
        """Of a small space; none of a large one."""
        if self._is_small:
            yield from _combinations({name: _values(each) for name, each in self.distributions.items()})

    def _corners(self) -> Iterator[Point]:
        ends = {name: next(iter(distribution.values())) for name, distribution in self.distributions.items()}
        if math.prod(len(values) for values in ends.values()) <= MAX_POINTS:
            yield from _combinations(ends)
        else:  # too many combinations: each parameter by itself, the others as they stand
            for name, values in ends.items():
                yield from (self.present() | {name: value} for value in values)


def in_words(point: Point) -> str:
    """`optimizer.lr=0.1, train.batch_size=32`."""
    return ", ".join(f"{name}={value}" for name, value in point.items())


def _leaves(values: Mapping[str, Any], sections: Iterable[str]) -> Iterator[str]:
    for name in sections:
        if isinstance(values[name], dict):
            yield from (f"{name}.{rest}" for rest in _leaves(values[name], values[name]))
        else:
            yield name


def _get(values: dict[str, Any], name: str) -> Any:
    place: Any = values
    for part in name.split("."):
        place = place[part]
    return place


def _draw(distribution: dict[str, list[Any]], generator: random.Random) -> Any:
    ((kind, values),) = distribution.items()
    if kind == "choice":
        return generator.choice(values)
    low, high = values
    if kind == "int":
        return generator.randint(low, high)
    if kind == "log":
        return _settled(distribution, math.exp(generator.uniform(math.log(low), math.log(high))))
    return _settled(distribution, generator.uniform(low, high))


def _settled(distribution: dict[str, list[Any]], value: Any) -> Any:
    """What is trained with: of a real number four digits, which people can read and repeat."""
    ((kind, values),) = distribution.items()
    if kind == "choice":
        return values[int(value)]
    if kind == "int":
        return value
    low, high = values
    return min(max(float(f"{value:.{DIGITS}g}"), float(low)), float(high))


def _unsettled(distribution: dict[str, list[Any]], value: Any) -> Any:
    """What Optuna calls a value: that of a choice by its place, since Optuna takes no lists."""
    ((kind, values),) = distribution.items()
    return values.index(value) if kind == "choice" else value


def _combinations(values: dict[str, list[Any]]) -> Iterator[Point]:
    for combination in itertools.product(*values.values()):
        yield dict(zip(values, combination, strict=True))


def _values(distribution: dict[str, list[Any]]) -> list[Any]:
    """All of a choice's or of a range of whole numbers'."""
    ((kind, values),) = distribution.items()
    return values if kind == "choice" else list(range(values[0], values[1] + 1))


def _size(distribution: dict[str, list[Any]]) -> int:
    ((kind, values),) = distribution.items()
    return len(values) if kind == "choice" else values[1] - values[0] + 1


def _contains(distribution: dict[str, list[Any]], value: Any) -> bool:
    ((kind, values),) = distribution.items()
    return value in values if kind == "choice" else values[0] <= value <= values[1]


def _for_optuna(distribution: dict[str, list[Any]]) -> Any:
    import optuna

    ((kind, values),) = distribution.items()
    if kind == "choice":
        return optuna.distributions.CategoricalDistribution(list(range(len(values))))
    low, high = values
    if kind == "int":
        return optuna.distributions.IntDistribution(low, high)
    return optuna.distributions.FloatDistribution(low, high, log=kind == "log")
