"""The plan of a sweep: which cells run which stages, why, in which order, with which resources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rich.table import Table

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.cells import parse_cell
from resgrid.config.sweep import SweepConfig
from resgrid.config.whole import Config
from resgrid.sweep.graph import Graph, GraphError

RESTORED = "restored from the run cache"


@dataclass(frozen=True)
class PlannedCell:
    """A cell that isn't up to date.

    Attributes:
        name: such as `resnet20-A-0`.
        stages: those that must run, `train` first; empty if the run cache holds them all.
        restored: those that the run cache holds.
        reason: why the first of them is stale.
    """

    name: str
    stages: list[str]
    restored: list[str]
    reason: str


@dataclass(frozen=True)
class Plan:
    """All cells that were chosen.

    Attributes:
        cells: those with something to do, the longest first.
        fresh: the names of those that are up to date.
        left_out: stale cells that were not chosen.
    """

    cells: list[PlannedCell]
    fresh: list[str]
    left_out: list[str]

    @property
    def to_run(self) -> list[PlannedCell]:
        return [cell for cell in self.cells if cell.stages]


def choose(names: Iterable[str], patterns: list[str], seeds: list[int] | None) -> list[str]:
    """The cells that a pattern names, by their own or their network's name, with the given seeds.

    Raises:
        ValueError: a pattern or a seed chooses nothing.
    """
    names = list(names)
    cells = {name: parse_cell(name) for name in names}
    for pattern in patterns:
        if not any(_matches(pattern, name) for name in names):
            networks = ", ".join(dict.fromkeys(cell.network for cell in cells.values()))
            raise ValueError(f"--select {pattern!r} matches no cell; the networks of the grid are {networks}")
    for seed in seeds or []:
        if seed not in {cell.seed for cell in cells.values()}:
            allowed = ", ".join(str(seed) for seed in sorted({cell.seed for cell in cells.values()}))
            raise ValueError(f"--seeds {seed}: the grid's seeds are {allowed}")
    return [
        name
        for name, cell in cells.items()
        if (not patterns or any(_matches(pattern, name) for pattern in patterns))
        and (seeds is None or cell.seed in seeds)
    ]


def make_plan(graph: Graph, patterns: list[str], seeds: list[int] | None, force: bool, dry: bool) -> Plan:
    """Find what must run, after everything that the run cache holds is put in place.

    Args:
        graph: with all that comes before the cells up to date.
        force: run the chosen cells whether they are stale or not, and whatever the run cache holds.
        dry: change nothing; what follows on a stage that can be restored is not known then.

    Raises:
        GraphError: the graph has no cells.
        ValueError: a pattern or a seed chooses nothing.
    """
    grid = graph.cells()
    if not grid:
        raise GraphError("the graph has no cells: dvc.yaml needs a stage `train` with a matrix")
    chosen = set(choose(grid, patterns, seeds))
    cells: list[PlannedCell] = []
    fresh: list[str] = []
    left_out: list[str] = []
    for name, stages in grid.items():
        cell = _plan_cell(graph, name, stages, force and name in chosen, dry or name not in chosen)
        if not cell.stages and not cell.restored:
            fresh.append(name)
        elif name not in chosen:
            left_out.append(name)
        else:
            cells.append(cell)
    costs: dict[str, int] = {}
    if len({parse_cell(cell.name).network for cell in cells if cell.stages}) > 1:
        costs = multiply_adds(cell.name for cell in cells)
    return Plan(sorted(cells, key=lambda cell: -costs.get(cell.name, 0)), fresh, left_out)


def plan_table(plan: Plan, config: SweepConfig) -> Table:
    table = Table(title=f"{len(plan.to_run)} cells to run, {len(plan.fresh)} up to date")
    for column in ("cell", "stages", "why", "resources"):
        table.add_column(column, overflow="fold")
    wanted = config.resources
    resources = f"{wanted.cpus:g} CPU" + (f", {wanted.gpus:g} GPU" if wanted.gpus else "")
    for cell in plan.cells:
        stages = " → ".join(stage.partition("@")[0] for stage in cell.stages) or RESTORED
        table.add_row(cell.name, stages, cell.reason, resources if cell.stages else "")
    return table


def _plan_cell(graph: Graph, name: str, stages: list[str], force: bool, dry: bool) -> PlannedCell:
    run: list[str] = []
    restored: list[str] = []
    first_reason = ""
    for stage in stages:
        if run:
            run.append(stage)  # it reads what an earlier stage writes anew
            continue
        reason = graph.why_stale(stage)
        if reason is None and not force:
            continue
        first_reason = first_reason or reason or "--force"
        if force or not graph.restore(stage, dry):
            run.append(stage)
            continue
        restored.append(stage)
        if dry:
            break
    return PlannedCell(name, run, restored, first_reason)


def check_resources(config: Config) -> None:
    """Refuse what a cell can't be given: several nodes, or fewer cores than it has threads, which hinder each other.

    Raises:
        ValueError: naming the values.
    """
    if config.train.num_nodes > 1:
        raise ValueError(
            f"train.num_nodes: {config.train.num_nodes}: sweeps and searches train each cell on one node; allowed is 1 "
            "(docs/exactness.md says how to train one network on several)"
        )
    processes = 1 if config.train.devices == "auto" else config.train.devices
    cpus, threads = config.sweep.resources.cpus, processes * config.train.threads
    if cpus < threads:
        raise ValueError(
            f"sweep.resources.cpus: {cpus}: must be at least {threads}, the threads of a cell: train.threads "
            f"{config.train.threads} × train.devices {config.train.devices}"
        )


def multiply_adds(cells: Iterable[str]) -> dict[str, int]:
    """What an image costs each cell; all of them train the same number of steps, so the dearest take longest."""
    from resgrid.models.complexity import count_network  # imports torch

    card = DatasetCard.read(PreparedPaths().card)
    networks = {cell: parse_cell(cell).network for cell in cells}
    counts = {name: count_network(name, card.shape, len(card.classes)) for name in set(networks.values())}
    return {cell: counts[network].multiply_adds for cell, network in networks.items()}


def _matches(pattern: str, cell: str) -> bool:
    return fnmatchcase(cell, pattern) or fnmatchcase(parse_cell(cell).network, pattern)
