"""An acceptance from the stale cells to their entries in dvc.lock; the table of contents of this package."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from resgrid.acceptance.candidates import Candidate, find_candidates
from resgrid.acceptance.outcome import Outcome
from resgrid.acceptance.replays import run_in_forks
from resgrid.artifacts.acceptance import Acceptance, Link, acceptance_path, read_acceptance
from resgrid.artifacts.cell_files import CellPaths, TrainMetrics
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.run_record import record_path
from resgrid.cells import parse_cell
from resgrid.config.whole import Config
from resgrid.names import parse_network
from resgrid.sources.manifest import CODE_ROOT, check_manifest, manifest_path
from resgrid.sweep.graph import EVALUATE, TRAIN, Graph
from resgrid.sweep.plan import choose
from resgrid.terminal import console
from resgrid.tracking.lineage import current_commit, versions
from resgrid.tracking.records import read_record


def accept(config: Config, patterns: list[str], dry_run: bool = False) -> int:
    """Replay the cells that are stale by code or packages alone, and record those whose bits are the same.

    Args:
        patterns: names of cells or networks, with `*` and `?`; an empty list selects all.
        dry_run: print what would be replayed and change nothing.

    Returns:
        The exit status: 1 if a replay differs from the results.

    Raises:
        ValueError: another process runs cells, or the graph or the selection can't be used.
    """
    graph = Graph(Path.cwd())
    with graph.cells_reserved():
        if not dry_run:
            graph.bring_upstream_up_to_date()
        with graph.locked():
            grid = graph.cells()
            cells = {cell: find_candidates(graph, grid[cell]) for cell in choose(grid, patterns, None)}
        jobs = [each for found in cells.values() for each in found if each.problem is None]
        for each in (each for found in cells.values() for each in found if each.problem):
            console.print(f"{each.cell}: not comparable: {each.group}: {each.problem}", markup=False)
        up_to_date = sum(not found for found in cells.values())
        console.print(f"{len(jobs)} stages to replay; {up_to_date} cells are up to date")
        if dry_run:
            for job in jobs:
                console.print(f"{job.cell}: {job.group}: {_changed(job)}", markup=False)
            return 0
        refused = _replay_all(graph, config, jobs) if jobs else 0
        with graph.locked():
            stale = [cell for cell, stages in graph.cells().items() if any(map(graph.why_stale, stages))]
    if stale:
        console.print(f"still stale: {', '.join(stale)}; train them with `make run`", style="yellow", markup=False)
        return int(refused > 0)
    return int(refused > 0) or graph.bring_downstream_up_to_date()


def _replay_all(graph: Graph, config: Config, jobs: list[Candidate]) -> int:
    """Replay in parallel, record what is equal, and return the number of refused cells."""
    with graph.locked():
        outs = {job.stage: [Path(out).name for out in graph.snapshot(job.stage).outs] for job in jobs}
    # Imported between the snapshot of the manifests and their check, so that they describe the code of the forks.
    from resgrid.acceptance.job import processes, replay

    for job in jobs:
        cell = parse_cell(job.cell)
        check_manifest(manifest_path(job.group, cell.network), CODE_ROOT, parse_network(cell.network))
    card = DatasetCard.read(PreparedPaths().card)
    outcomes: dict[str, Outcome] = {}
    refused: set[str] = set()
    for job, result in run_in_forks(
        jobs, lambda job: replay(job.group, parse_cell(job.cell), config, card, outs[job.stage]), processes(config)
    ):
        outcome = outcomes[job.stage] = Outcome("failed", result) if isinstance(result, str) else result
        if outcome.kind != "equal":
            console.print(f"{job.cell}: {outcome.kind}: {job.group}: {outcome.reason}", style="red", markup=False)
            if outcome.kind in ("different", "failed"):
                refused.add(job.cell)
        of_cell = [each for each in jobs if each.cell == job.cell]
        if all(each.stage in outcomes for each in of_cell):
            _record_cell(graph, of_cell, outcomes)
    return len(refused)


def _record_cell(graph: Graph, stages: list[Candidate], outcomes: dict[str, Outcome]) -> None:
    """Record a cell's stages in their order up to the first that is not equal."""
    for each in stages:
        if outcomes[each.stage].kind != "equal":
            return
        # Evidence first: without its entry of dvc.lock it only describes a cell that is still stale.
        evidence = _add_link(each, outcomes[each.stage])
        graph.carry_over(each.stage)
        if each.group == TRAIN:
            _note_in_record(each, evidence)
    text = ", ".join(_summary(outcomes[each.stage], each.group) for each in stages)
    console.print(f"{stages[0].cell}: accepted: {text}", markup=False)


def _add_link(candidate: Candidate, outcome: Outcome) -> Acceptance:
    cell = parse_cell(candidate.cell)
    paths = CellPaths(cell)
    metrics = TrainMetrics.read(paths.metrics)
    record = read_record(cell, metrics.fingerprint)
    trained_with = record.train.commit if record and record.train else None
    earlier = read_acceptance(paths, metrics.fingerprint) or Acceptance(
        cell=cell.name, fingerprint=metrics.fingerprint, trained_with=trained_with, links=[]
    )
    link = Link(
        stage=candidate.group,
        manifest=candidate.hashes,
        files=list(candidate.files),
        packages={name: (before, now) for name, before, now in candidate.packages},
        windows=list(outcome.windows),
        steps=metrics.steps if candidate.group == TRAIN else 0,
        digests=outcome.digests,
        compared=list(outcome.compared),
        commit=current_commit(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        hardware=outcome.hardware,
        versions=versions(),
    )
    evidence = earlier.followed_by(link)
    evidence.write(acceptance_path(paths))
    return evidence


def _note_in_record(candidate: Candidate, evidence: Acceptance) -> None:
    """Add the evidence to the tags of the cell's run, which `make track` and `make dashboard` send to MLflow."""
    cell = parse_cell(candidate.cell)
    record = read_record(cell, evidence.fingerprint)
    if record:
        tags = record.tags | {"accepted": evidence.describe() or ""}
        record.model_copy(update={"tags": tags, "unsent": True}).write(record_path(cell, evidence.fingerprint))


def _summary(outcome: Outcome, group: str) -> str:
    if group == EVALUATE:
        return f"{len(outcome.compared)} files of the evaluation"
    steps = sum(last - first + 1 for first, last in outcome.windows)
    return f"{outcome.digests:,} digests of {steps} steps, {len(outcome.compared)} files of the training"


def _changed(candidate: Candidate) -> str:
    packages = [f"{name} {before} → {now}" for name, before, now in candidate.packages]
    return ", ".join([*candidate.files, *packages])
