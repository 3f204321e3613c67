"""The section `search`: the search for training parameters."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from resgrid.config.grid import NetworkName
from resgrid.config.reading import Section, Seed
from resgrid.names import parse_network


class AshaConfig(Section):
    """Early stopping of trials: asynchronous successive halving (Li et al., MLSys 2020, algorithm 2).

    At `grace_steps`, and at each `reduction` times as many steps, a trial continues only if its validation error is
    among the best 1/`reduction` of the trials that have reached this step.
    """

    grace_steps: Annotated[int, Field(ge=1)]
    reduction: Annotated[float, Field(gt=1)]


class SearchConfig(Section):
    """The search of `make search` for training parameters of one cell; not part of the experiment.

    Attributes:
        network: network of the grid.
        seed: seed of the grid, and of the search itself.
        trials: number of trials.
        searcher: `random`, or `optuna` for its tree-structured Parzen estimator.
        space: for each dotted parameter name one of `{log: [low, high]}`, `{uniform: [low, high]}`,
            `{int: [low, high]}` (both bounds included) and `{choice: [value, …]}`.
        asha: None trains every trial to its end.
    """

    network: NetworkName
    seed: Seed
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
    """Describe what is wrong with a distribution of the section `search`; None if nothing is."""
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in ("log", "uniform", "int", "choice"):
        return (
            f"{value}: is not a distribution; use {{log: [low, high]}}, {{uniform: …}}, {{int: …}} or {{choice: […]}}"
        )
    ((kind, values),) = value.items()
    if kind == "choice":
        if not isinstance(values, list) or not values:
            return f"choice: {values}: is not a list of values; use [value, …]"
        repeated = [item for index, item in enumerate(values) if item in values[:index]]
        return f"choice: {repeated[0]}: is a duplicate; list each value once" if repeated else None
    allowed = (int,) if kind == "int" else (int, float)
    if (
        not isinstance(values, list)
        or len(values) != 2
        or any(
            isinstance(bound, bool) or not isinstance(bound, allowed) or not math.isfinite(bound) for bound in values
        )
        or values[0] >= values[1]
    ):
        numbers = "whole numbers" if kind == "int" else "numbers"
        return f"{kind}: {values}: is not a range; use two {numbers} [low, high], low below high"
    if kind == "log" and values[0] <= 0:
        return f"log: {values}: has no logarithm; use numbers above 0"
    return None
