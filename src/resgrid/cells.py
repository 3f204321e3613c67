"""Network names and cells: the one parser of names such as `resnet56-A`, and the grid made of them.

A *cell* is one network with one seed. Its name, `resnet20-A-0`, is the DVC stage key, the folder under `runs/`,
the name of the MLflow run and the label in every plot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Literal, cast

Shortcut = Literal["none", "A", "B", "C"]

_NAME = re.compile(r"(?P<family>plain|resnet)(?P<depth>[1-9][0-9]*)(?:-(?P<shortcut>[A-Z]))?")
_CELL = re.compile(r"(?P<network>.+)-(?P<seed>[0-9]+)")

ALLOWED_NAMES = (
    "allowed are plain<depth> and resnet<depth>-<A|B|C> with depth 6n+2 (8, 14, 20, 32, 44, 56, 110, …), "
    "such as plain20 or resnet56-A"
)


@dataclass(frozen=True)
class Network:
    """What a network name says: a 6n+2 network of the paper's section 4.2.

    Attributes:
        depth: weighted layers, 6n+2: one stem convolution, 6n convolutions in three stages, one linear layer.
        shortcut: `none` for a plain network; `A` zero-padding identity, `B` projection where the dimensions grow,
            `C` projection everywhere (section 3.3 and Table 3).
    """

    depth: int
    shortcut: Shortcut

    @property
    def name(self) -> str:
        return f"plain{self.depth}" if self.shortcut == "none" else f"resnet{self.depth}-{self.shortcut}"

    @property
    def family(self) -> Literal["plain", "resnet"]:
        return "plain" if self.shortcut == "none" else "resnet"

    @property
    def blocks_per_stage(self) -> int:
        """The n of 6n+2: blocks of two convolutions in each of the three stages."""
        return (self.depth - 2) // 6


def parse_network(name: str) -> Network:
    """Read a network name.

    Raises:
        ValueError: the name means no network; the message says which part is wrong and what is allowed.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is no network name; {ALLOWED_NAMES}")
    depth, shortcut = int(match["depth"]), match["shortcut"]
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"{name!r} has depth {depth}; {ALLOWED_NAMES}")
    if match["family"] == "plain":
        if shortcut is not None:
            raise ValueError(f"{name!r} gives a plain network the shortcut {shortcut}; {ALLOWED_NAMES}")
        return Network(depth, "none")
    if shortcut not in ("A", "B", "C"):
        problem = "says no shortcut option" if shortcut is None else f"has the shortcut option {shortcut!r}"
        raise ValueError(f"{name!r} {problem}; {ALLOWED_NAMES}")
    return Network(depth, cast("Shortcut", shortcut))


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
