"""Comparison groups: networks that differ only in depth and shortcut option."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from resgrid.names import PlainOrResidual
from resgrid.reporting.contrasts import Measured, cell_names
from resgrid.reporting.ensembles import Ensemble
from resgrid.reporting.results import CellResult, NetworkResult, Results
from resgrid.reporting.statistics import Sample
from resgrid.reporting.verdicts import Evidence


class Pair(NamedTuple):
    """A plain network and a residual network of one depth."""

    depth: int
    plain: NetworkResult
    residual: NetworkResult


@dataclass(frozen=True)
class ComparisonGroup:
    """Networks that differ only in depth and shortcut option.

    Attributes:
        modifier: the part of their names that is neither depth nor option; empty for the paper's CIFAR-10 networks.
        plain: by depth, from shallow to deep.
        residual: by option, then by depth.
        ensembles: those of the grid; the first group has them.
    """

    modifier: str
    plain: dict[int, NetworkResult] = field(default_factory=dict)
    residual: dict[str, dict[int, NetworkResult]] = field(default_factory=dict)
    ensembles: Sequence[Ensemble] = ()

    @property
    def pairs(self) -> list[Pair]:
        """Plain networks with each residual counterpart, from shallow to deep, then by option."""
        return [
            Pair(depth, plain, self.residual[option][depth])
            for depth, plain in self.plain.items()
            for option in sorted(self.residual)
            if depth in self.residual[option]
        ]

    @property
    def networks(self) -> list[NetworkResult]:
        """All networks, plain ones first."""
        return [*self.plain.values(), *(each for by_depth in self.residual.values() for each in by_depth.values())]

    def only(self, names: Collection[str]) -> ComparisonGroup:
        """Return the group with only these networks."""
        residual = {option: _named(by_depth, names) for option, by_depth in self.residual.items()}
        residual = {option: by_depth for option, by_depth in residual.items() if by_depth}
        return replace(self, plain=_named(self.plain, names), residual=residual)


def comparison_groups(results: Results, ensembles: Sequence[Ensemble] = ()) -> list[ComparisonGroup]:
    """Group the plain and residual networks: those without a modifier first, at least one group.

    Networks with a diverged or missing seed are left out: the other seeds would be a selection.
    """
    incomplete = {cell.network for cell in (*results.missing, *(result.cell for result in results.diverged))}
    by_modifier: dict[str, list[NetworkResult]] = {}
    for result in results.by_depth:
        if isinstance(result.network, PlainOrResidual) and result.name not in incomplete:
            by_modifier.setdefault(result.network.modifier, []).append(result)
    modifiers = sorted(by_modifier, key=bool) or [""]
    return [
        _group(modifier, by_modifier.get(modifier, []), () if index else ensembles)
        for index, modifier in enumerate(modifiers)
    ]


def _group(modifier: str, networks: list[NetworkResult], ensembles: Sequence[Ensemble]) -> ComparisonGroup:
    group = ComparisonGroup(modifier, ensembles=ensembles)
    for network in networks:
        assert network.depth is not None  # plain and residual networks have one
        shortcut = network.network.shortcut
        by_depth = group.plain if shortcut == "none" else group.residual.setdefault(shortcut, {})
        by_depth[network.depth] = network
    return group


def _named(networks: dict[int, NetworkResult], names: Collection[str]) -> dict[int, NetworkResult]:
    return {depth: network for depth, network in networks.items() if network.name in names}


def train_error(cell: CellResult) -> float:
    """Return the training error of the final weights, in percent."""
    return cell.train.train_error


def test_error(cell: CellResult) -> float:
    """Return the test error of the final weights, in percent."""
    return cell.test.test_error


def level(network: NetworkResult, measured: Measured, quantity: str) -> Evidence:
    """Return a network's mean error as evidence."""
    sample = Sample(tuple(measured(cell) for cell in network.cells))
    return Evidence(f"{network.name}, {quantity}", sample.mean, sample.percent_interval, "%", None, cell_names(network))
