"""The section `search`: what a search tries."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from resgrid.config.grid import NetworkName
from resgrid.config.reading import Section
from resgrid.names import parse_network


class AshaConfig(Section):
    """When a search gives a trial up: asynchronous successive halving (Li et al., MLSys 2020, algorithm 2).

    At `grace_steps`, and at each `reduction` times as many, a trial goes on only if its validation error is among the
    best 1/`reduction` of those that came so far.
    """

    grace_steps: Annotated[int, Field(ge=1)]
    reduction: Annotated[float, Field(gt=1)]


class SearchConfig(Section):
    """What `make search` tries: parameters of the training of one network with one seed; no part of the experiment.

    Attributes:
        network: of the grid.
        seed: of the grid, and of the search itself.
        trials: trainings, all together.
        searcher: `random`, or `optuna` for its tree-structured Parzen estimator.
        space: by dotted parameter name one of `{log: [low, high]}`, `{uniform: [low, high]}`, `{int: [low, high]}`
            (both ends included) and `{choice: [value, …]}`.
        asha: None to have every trial train to its end.
    """

    network: NetworkName
    seed: Annotated[int, Field(ge=0)]
    trials: Annotated[int, Field(ge=1)]
    searcher: Literal["random", "optuna"]
    space: Annotated[dict[str, Any], Field(min_length=1)]
    asha: AshaConfig | None

    @model_validator(mode="after")
    def _network_is_known(self) -> Self:
        try:
            parse_network(self.network)
        except ValueError as error:
            raise ValueError(f"network: {error}") from None
        return self

    @field_validator("space")
    @classmethod
    def _distributions_are_whole(cls, space: dict[str, Any]) -> dict[str, Any]:
        mistakes = [f"{name}: {wrong}" for name, value in space.items() if (wrong := _wrong_distribution(value))]
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return space


def _wrong_distribution(value: Any) -> str | None:
    """What is wrong with a distribution of the section `search`."""
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in ("log", "uniform", "int", "choice"):
        return f"{value}: must be {{log: [low, high]}}, {{uniform: …}}, {{int: …}} or {{choice: [value, …]}}"
    ((kind, values),) = value.items()
    if kind == "choice":
        if not isinstance(values, list) or not values:
            return f"choice: {values}: must be a list of values"
        repeated = [item for index, item in enumerate(values) if item in values[:index]]
        return f"choice: {repeated[0]} stands twice" if repeated else None
    allowed = (int,) if kind == "int" else (int, float)
    if (
        not isinstance(values, list)
        or len(values) != 2
        or any(
            isinstance(bound, bool) or not isinstance(bound, allowed) or not math.isfinite(bound) for bound in values
        )
        or values[0] >= values[1]
    ):
        return f"{kind}: {values}: must be two {'whole ' if kind == 'int' else ''}numbers [low, high], low below high"
    if kind == "log" and values[0] <= 0:
        return f"log: {values}: must be above 0: it has no logarithm"
    return None
