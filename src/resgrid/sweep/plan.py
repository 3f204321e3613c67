"""The plan of a sweep: which cells run which pipeline stages, why, in which order and with which resources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rich.table import Table

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.cells import parse_cell
from resgrid.config.sweep import SweepConfig
from resgrid.sweep.graph import Graph, GraphError
from resgrid.terminal import with_progress


@dataclass(frozen=True)
class PlannedCell:
    """A stale cell.

    Attributes:
        name: such as `resnet20-A-0`.
        stages: stages that must run, `train` first; empty if the run cache contains them all.
        restored: stages that the run cache contains.
        reason: why the first of them is stale.
    """

    name: str
    stages: list[str]
    restored: list[str]
    reason: str


@dataclass(frozen=True)
class Plan:
    """The selected cells.

    Attributes:
        cells: stale cells, the longest first.
        up_to_date: names of the other selected cells.
    """

    cells: list[PlannedCell]
    up_to_date: list[str]

    @property
    def to_run(self) -> list[PlannedCell]:
        return [cell for cell in self.cells if cell.stages]


def choose(names: Iterable[str], patterns: list[str], seeds: list[int] | None) -> list[str]:
    """Select cells by patterns of their own or their network's name, and by seed.

    Raises:
        ValueError: a pattern or a seed selects nothing.
    """
    names = list(names)
    cells = {name: parse_cell(name) for name in names}
    for pattern in patterns:
        if not any(_matches(pattern, name) for name in names):
            networks = ", ".join(dict.fromkeys(cell.network for cell in cells.values()))
            raise ValueError(f"--select: {pattern!r}: matches no cell; the grid's networks are {networks}")
    for seed in seeds or []:
        if seed not in {cell.seed for cell in cells.values()}:
            allowed = ", ".join(str(seed) for seed in sorted({cell.seed for cell in cells.values()}))
            raise ValueError(f"--seeds: {seed}: not in the grid; use {allowed}")
    return [
        name
        for name, cell in cells.items()
        if (not patterns or any(_matches(pattern, name) for pattern in patterns))
        and (seeds is None or cell.seed in seeds)
    ]


def make_plan(graph: Graph, patterns: list[str], seeds: list[int] | None, force: bool, dry: bool) -> Plan:
    """Find the stages that must run, and restore those that the run cache contains.

    Args:
        graph: with all stages before the cells up to date.
        force: run the selected cells even if they are up to date or in the run cache.
        dry: change nothing; the plan then lacks stages that follow a restored stage.

    Raises:
        ValueError: the graph has no cells, or a pattern or a seed selects nothing.
    """
    grid = graph.cells()
    if not grid:
        raise GraphError("dvc.yaml: no cells; add a stage `train` with a matrix")
    chosen = with_progress(choose(grid, patterns, seeds), "comparing cells with dvc.lock")
    cells = [_plan_cell(graph, name, grid[name], force, dry) for name in chosen]
    up_to_date = [cell.name for cell in cells if not cell.stages and not cell.restored]
    cells = [cell for cell in cells if cell.stages or cell.restored]
    costs: dict[str, int] = {}
    if len({parse_cell(cell.name).network for cell in cells if cell.stages}) > 1:
        costs = multiply_adds(cell.name for cell in cells)
    return Plan(sorted(cells, key=lambda cell: -costs.get(cell.name, 0)), up_to_date)


def plan_table(plan: Plan, config: SweepConfig) -> Table:
    table = Table(title=f"{len(plan.to_run)} cells to run, {len(plan.up_to_date)} up to date")
    for column in ("cell", "stages", "why", "resources"):
        table.add_column(column, overflow="fold")
    wanted = config.resources
    resources = f"{wanted.cpus:g} CPU" + ("" if wanted.gpus == 0 else f", {wanted.gpus} GPU")
    for cell in plan.cells:
        stages = " → ".join(stage.partition("@")[0] for stage in cell.stages) or "restored from the run cache"
        table.add_row(cell.name, stages, cell.reason, resources if cell.stages else "")
    return table


def _plan_cell(graph: Graph, name: str, stages: list[str], force: bool, dry: bool) -> PlannedCell:
    run: list[str] = []
    restored: list[str] = []
    first_reason = ""
    for stage in stages:
        if run:
            run.append(stage)  # it depends on a stage that runs
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


def multiply_adds(cells: Iterable[str]) -> dict[str, int]:
    """Multiply-adds per image of each cell; all cells train for the same number of steps, so they decide the time."""
    from resgrid.models.complexity import count_network  # imports torch

    card = DatasetCard.read(PreparedPaths().card)
    networks = {cell: parse_cell(cell).network for cell in cells}
    counts = {name: count_network(name, card.shape, len(card.classes)) for name in set(networks.values())}
    return {cell: counts[network].multiply_adds for cell, network in networks.items()}


def _matches(pattern: str, cell: str) -> bool:
    return fnmatchcase(cell, pattern) or fnmatchcase(parse_cell(cell).network, pattern)
