"""The space of a search: the parameters that vary, their distributions, and the next configuration.

A configuration depends only on the search's seed, the trial's number and, for Optuna, the trials before, so that an
interrupted search resumes exactly.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from resgrid.artifacts.files import sha256_of_text
from resgrid.config.reading import with_changes
from resgrid.config.search import SearchConfig
from resgrid.config.train import TrainParams
from resgrid.config.whole import check_params
from resgrid.sweep.trials import DONE, STARTED, STOPPED, Trial

Configuration = dict[str, Any]

# Not searchable: errors of trials are compared at equal steps.
FIXED = ("train.max_steps",)
MAX_CONFIGURATIONS = 2048
DIGITS = 4
DRAWS = 20


@dataclass(frozen=True)
class Space:
    """The section `search.space` and the parameters that it varies.

    Attributes:
        distributions: by dotted name, as in the section.
        values: all plain values of `params.yaml`.
        path: of that file, for messages.
    """

    distributions: dict[str, dict[str, list[Any]]]
    values: dict[str, Any]
    path: Path

    def check(self) -> None:
        """Check the ends of each distribution, all values of each choice, and their combinations.

        Raises:
            ValueError: a name is not a parameter of training, or `params.yaml` must not contain a combination.
        """
        allowed = [name for name in _leaves(self.values, list(TrainParams.model_fields)) if name not in FIXED]
        for name in self.distributions:
            if name in FIXED:
                raise ValueError(f"search.space: {name}: all trials train for the same number of steps; remove it")
            if name not in allowed:
                raise ValueError(
                    f"search.space: {name}: not a parameter of training in {self.path}; use {', '.join(allowed)}"
                )
        for configuration in self._corners():
            self.check_configuration(configuration)

    def present(self) -> Configuration:
        """The present values in `params.yaml`."""
        return {name: reduce(getitem, name.split("."), self.values) for name in self.distributions}

    def check_configuration(self, configuration: Configuration) -> None:
        """Check the values of `params.yaml` with those of a configuration as a whole.

        Raises:
            ValueError: the values are not allowed; the message contains the reasons.
        """
        try:
            check_params(with_changes(self.values, configuration), self.path)
        except ValueError as error:
            reasons = str(error).splitlines()[1:]
            raise ValueError(
                "\n".join([f"search.space: {in_words(configuration)}: not valid in {self.path}; exclude it:", *reasons])
            ) from None

    def propose(self, config: SearchConfig, number: int, tried: Sequence[Trial]) -> Configuration | None:
        """Propose the configuration of the next trial, never one twice; None if the space has no others.

        The first trial has the present parameters of `params.yaml`, as a baseline.

        Args:
            number: of the trial.
            tried: all trials before it, in order.
        """
        if not tried:
            return self.present()
        known = [trial.parameters for trial in tried]
        everything = self._all_configurations()
        untried = [configuration for configuration in everything or [] if configuration not in known]
        if everything and not untried:
            return None
        for draw in range(DRAWS):
            seed = f"{config.seed} {number} {draw}"
            configuration = self._ask_optuna(seed, tried) if config.searcher == "optuna" else self._draw(seed)
            if configuration not in known:
                return configuration
        return random.Random(f"{config.seed} {number}").choice(untried) if untried else None

    def _draw(self, seed: str) -> Configuration:
        # Each parameter has its own generator, so that adding a parameter doesn't change the others.
        return {
            name: _draw(distribution, random.Random(f"{seed} {name}"))
            for name, distribution in self.distributions.items()
        }

    def _ask_optuna(self, seed: str, tried: Iterable[Trial]) -> Configuration:
        """Ask Optuna after these trials: its study is rebuilt for each proposal, so that no state can be lost."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        distributions = {name: _for_optuna(distribution) for name, distribution in self.distributions.items()}
        sampler = optuna.samplers.TPESampler(seed=int(sha256_of_text(seed)[:8], 16))
        study = optuna.create_study(sampler=sampler, direction="minimize")
        states = {
            DONE: optuna.trial.TrialState.COMPLETE,
            STOPPED: optuna.trial.TrialState.PRUNED,
            STARTED: optuna.trial.TrialState.RUNNING,
        }
        for trial in tried:
            if not all(_contains(self.distributions[name], value) for name, value in trial.parameters.items()):
                continue  # the first trial may be outside the space
            study.add_trial(
                optuna.trial.create_trial(
                    state=states[trial.state],
                    # Optuna accepts no lists: choices are indices.
                    params={
                        name: each["choice"].index(trial.parameters[name])
                        if "choice" in each
                        else trial.parameters[name]
                        for name, each in self.distributions.items()
                    },
                    distributions=distributions,
                    value=trial.validations[-1][1] if trial.state == DONE else None,
                    intermediate_values=dict(trial.validations) if trial.state != STARTED else None,
                )
            )
        asked = study.ask(distributions).params
        return {name: _settled(self.distributions[name], asked[name]) for name in self.distributions}

    def _all_configurations(self) -> list[Configuration] | None:
        """All configurations of a small space; None for a large one."""
        values = {name: _values(each) for name, each in self.distributions.items()}
        if not all(values.values()) or math.prod(map(len, values.values())) > MAX_CONFIGURATIONS:
            return None
        return list(_combinations(values))

    def _corners(self) -> Iterator[Configuration]:
        ends = {name: next(iter(distribution.values())) for name, distribution in self.distributions.items()}
        if math.prod(len(values) for values in ends.values()) <= MAX_CONFIGURATIONS:
            yield from _combinations(ends)
        else:  # too many combinations: vary each parameter alone
            for name, values in ends.items():
                yield from (self.present() | {name: value} for value in values)


def in_words(configuration: Configuration) -> str:
    """`optimizer.lr=0.1, train.batch_size=32`."""
    return ", ".join(f"{name}={value}" for name, value in configuration.items())


def _leaves(values: Mapping[str, Any], sections: Iterable[str]) -> Iterator[str]:
    for name in sections:
        if isinstance(values[name], dict):
            yield from (f"{name}.{rest}" for rest in _leaves(values[name], values[name]))
        else:
            yield name


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
    """The value to train with: real numbers have four digits, which are easy to read and repeat."""
    ((kind, values),) = distribution.items()
    if kind == "choice":
        return values[int(value)]
    if kind == "int":
        return value
    low, high = values
    return min(max(float(f"{value:.{DIGITS}g}"), float(low)), float(high))


def _combinations(values: Mapping[str, Sequence[Any]]) -> Iterator[Configuration]:
    for combination in itertools.product(*values.values()):
        yield dict(zip(values, combination, strict=True))


def _values(distribution: dict[str, list[Any]]) -> Sequence[Any]:
    """All values of a choice or of a range of integers; none of a range of real numbers."""
    ((kind, values),) = distribution.items()
    return values if kind == "choice" else range(values[0], values[1] + 1) if kind == "int" else []


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
