"""Cells, and the grid of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from resgrid.names import parse_network

_CELL = re.compile(r"(?P<network>.+)-(?P<seed>[0-9]+)")


@dataclass(frozen=True)
class Cell:
    """One network with one seed."""

    network: str
    seed: int

    def __post_init__(self) -> None:
        parse_network(self.network)
        if self.seed < 0:
            raise ValueError(f"seed {self.seed} is negative; seeds are 0, 1, 2, …")

    @property
    def name(self) -> str:
        return f"{self.network}-{self.seed}"


def parse_cell(name: str) -> Cell:
    """Read a cell's name, such as `resnet20-A-0`.

    Raises:
        ValueError: the name is not `<network>-<seed>`.
    """
    match = _CELL.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no cell name; allowed is <network>-<seed>, such as resnet20-A-0")
    return Cell(match["network"], int(match["seed"]))


def grid(networks: Iterable[str], seeds: Iterable[int]) -> list[Cell]:
    """Every network with every seed, in the order of DVC's matrix (networks outside, seeds inside)."""
    return [Cell(network, seed) for network, seed in product(networks, seeds)]
