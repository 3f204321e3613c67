"""The section `grid`: the networks and the seeds."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from resgrid.cells import Cell, grid
from resgrid.config.reading import Section, Seed
from resgrid.names import parse_network

NetworkName = str


class GridConfig(Section):
    """The cells of the grid: every network with every seed."""

    network: Annotated[list[NetworkName], Field(min_length=1)]
    seed: Annotated[list[Seed], Field(min_length=1)]

    @field_validator("network")
    @classmethod
    def _networks_are_known(cls, names: list[str]) -> list[str]:
        mistakes: list[str] = []
        for index, name in enumerate(names):
            try:
                parse_network(name)
            except ValueError as error:
                mistakes.append(f"[{index}]: {error}")
            if name in names[:index]:
                mistakes.append(f"[{index}]: {name!r}: is a duplicate; list each network once")
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return names

    @field_validator("seed")
    @classmethod
    def _seeds_are_unique(cls, seeds: list[int]) -> list[int]:
        for index, seed in enumerate(seeds):
            if seed in seeds[:index]:
                raise ValueError(f"[{index}]: {seed}: is a duplicate; list each seed once")
        return seeds

    @property
    def cells(self) -> list[Cell]:
        return grid(self.network, self.seed)


class GridParams(Section):
    """The sections that the pipeline stage `sources` reads."""

    grid: GridConfig
