"""Cells, each one network with one seed, and the grid of cells."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from resgrid.names import parse_network

# NumPy's and Lightning's limit.
MAX_SEED = 2**32 - 1

_CELL = re.compile(r"(?P<network>.+)-(?P<seed>0|[1-9][0-9]*)")


@dataclass(frozen=True)
class Cell:
    """One network trained with one seed.

    Raises:
        ValueError: the network's name is not valid, or the seed is not in 0 to 2³²−1.
    """

    network: str
    seed: int

    def __post_init__(self) -> None:
        parse_network(self.network)
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"seed: {self.seed}: out of range; use 0 to {MAX_SEED}")

    @property
    def name(self) -> str:
        """Such as `resnet20-A-0`."""
        return f"{self.network}-{self.seed}"


def parse_cell(name: str) -> Cell:
    """Parse a cell's name, such as `resnet20-A-0`.

    Raises:
        ValueError: the name is not `<network>-<seed>`.
    """
    match = _CELL.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r}: not a cell name; use <network>-<seed>, such as resnet20-A-0")
    return Cell(match["network"], int(match["seed"]))


def grid(networks: Iterable[str], seeds: Iterable[int]) -> list[Cell]:
    """List every network with every seed, in the order of DVC's matrix (networks outside, seeds inside)."""
    return [Cell(network, seed) for network, seed in product(networks, seeds)]
