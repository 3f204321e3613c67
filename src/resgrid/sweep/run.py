"""A sweep from its plan to the report; the table of contents of this package."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.files import state_folder
from resgrid.config.sweep import SweepConfig
from resgrid.config.whole import Config
from resgrid.sweep.graph import Graph, Snapshot
from resgrid.sweep.jobs import clean, settings_of_all, stage_job
from resgrid.sweep.live_table import DONE, FAILED, STOPPED, LiveTable
from resgrid.sweep.plan import Plan, make_plan, plan_table
from resgrid.sweep.recorder import Outcome, Recorder, adopt
from resgrid.terminal import console, with_progress
from resgrid.tracking import Run, start_run
from resgrid.tracking.lineage import current_commit


def run_sweep(
    config: Config, patterns: list[str], seeds: list[int] | None, force: bool = False, dry_run: bool = False
) -> int:
    """Run the stale cells in parallel, record each as it finishes, then write the report.

    Args:
        patterns: names of cells or networks, with `*` and `?`; an empty list selects all.
        seeds: of the cells; None selects all.
        force: also run cells that are up to date.
        dry_run: print the plan and change nothing.

    Returns:
        The exit status: 0 if every selected cell is up to date now.

    Raises:
        ValueError: another process runs cells, or the graph, the selection or the cluster can't be used.
    """
    config.check_resources()
    work = state_folder().resolve() / "sweep"
    graph = Graph(Path.cwd())
    with ExitStack() as reserved:
        with graph.locked():
            reserved.enter_context(graph.cells_reserved())
            stale = graph.bring_upstream_up_to_date(run=not dry_run)
            if stale and dry_run:
                console.print(f"run first, because stale: {', '.join(stale)}; the plan depends on their outputs")
                return 0
            if not dry_run and (adopted := adopt(graph, work / "delivered")):
                console.print(f"recorded from an interrupted sweep: {', '.join(adopted)}", markup=False)
            if not dry_run and (pulled := graph.pull_missing()):
                console.print(f"pulled from DVC's remote: {', '.join(pulled)}", markup=False)
            plan = make_plan(graph, patterns, seeds, force, dry_run)
            is_whole = not patterns and seeds is None
            if is_whole and not plan.cells and not graph.downstream_is_stale():
                console.print(f"{len(plan.up_to_date)} cells and the report are up to date")
                return 0
            console.print(plan_table(plan, config.sweep))
            if dry_run:
                return 0
            cells = with_progress(plan.to_run, "hashing what the cells depend on")
            snapshots = {cell.name: _snapshots(graph, cell.stages) for cell in cells}
        clean(work)
        outcome = _run(plan, snapshots, graph, config, work) if plan.to_run else Outcome()
        status = _summarize(plan, outcome)
        if outcome.stopped:
            return status
    with graph.locked():
        stale = {cell for cell, stages in graph.cells().items() if any(map(graph.why_stale, stages))}
        if not stale:
            return status or graph.bring_downstream_up_to_date()
    # `dvc repro` would train these cells for the report.
    names = ", ".join(sorted(stale))
    reason = f"{len(stale)} cells are stale, because they failed, were not selected or changed meanwhile: {names}"
    console.print(f"reports/ stays as it is: {reason}", style="yellow", markup=False)
    from resgrid.reporting.preliminary import write_preliminary_report  # imports much of reporting

    write_preliminary_report(config, stale)
    return status


def _run(plan: Plan, snapshots: dict[str, list[Snapshot]], graph: Graph, config: Config, work: Path) -> Outcome:
    every_stage = [snapshot for stages in snapshots.values() for snapshot in stages]
    run = start_run("sweep", DatasetCard.read(PreparedPaths().card).label, None)
    try:
        _log_plan(run, plan, config)
        start = time.monotonic()
        # Importing Ray takes a second, which a plan without cells saves.
        from resgrid.sweep.ray_cluster import cluster

        with cluster(config.sweep, config.processes_of_a_cell) as (resources, sweep):
            console.print(
                f"{len(plan.to_run)} cells on {resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs"
            )
            if resources.get("GPU", 0) and not sweep.resources.gpus:
                console.print(
                    "sweep.resources.gpus: 0: cells compute on CPUs although there are GPUs; use auto, or 0.25 to "
                    "let four cells share one",
                    style="yellow",
                )
            settings = settings_of_all(work, graph, sweep, run.run_id, every_stage)
            jobs = {cell: [stage_job(each, config.machine) for each in stages] for cell, stages in snapshots.items()}
            outcome = _run_on_cluster(jobs, graph, sweep, work, settings)
        slots, makespan = sweep.resources.cells_at_once(resources), outcome.makespan
        until_first = (outcome.first_start or time.monotonic()) - start
        console.print(f"{makespan:.1f} s from the first cell's start to the last commit; Ray took {until_first:.1f} s")
        run.log_metrics(
            0,
            {
                "sweep/cells_done": len(outcome.done),
                "sweep/cells_failed": len(outcome.failed),
                "sweep/cells_stopped": len(outcome.stopped),
                "sweep/makespan_seconds": makespan,
                "sweep/busy_seconds": outcome.busy_seconds,
                "sweep/efficiency": outcome.busy_seconds / (makespan * slots) if makespan and slots else 0.0,
                "sweep/ray_startup_seconds": until_first,
            },
        )
    except BaseException:
        run.finish("FAILED")
        raise
    run.finish("FAILED" if outcome.failed else "KILLED" if outcome.stopped else "FINISHED")
    return outcome


class _Cells:
    """Follows the cells of a sweep; see `ray_cluster.Callbacks`."""

    def __init__(self, outcome: Outcome, table: LiveTable, recorder: Recorder) -> None:
        self._outcome, self._table, self._recorder = outcome, table, recorder
        self._delivered: set[str] = set()

    def started(self, cell: str) -> None:
        self._outcome.first_start = self._outcome.first_start or time.monotonic()
        self._table.started(cell)

    def reported(self, cell: str, message: dict[str, Any]) -> None:
        self._table.progress(cell, message)
        stage = message.get("delivered")
        if stage and stage not in self._delivered:
            self._delivered.add(stage)
            self._outcome.busy_seconds += message["seconds"]
            self._table.delivered(cell, stage, message["seconds"])
            self._recorder.record(cell, stage)
        if ended := message.get("ended"):
            (self._outcome.done if ended == "done" else self._outcome.stopped).append(cell)
            self._table.ended(cell, DONE if ended == "done" else STOPPED)

    def failed(self, cell: str, reason: str, is_last: bool) -> None:
        if is_last:
            self._outcome.failed[cell] = reason
            self._table.ended(cell, FAILED, reason)
        else:
            self._table.retried(cell, reason)


def _run_on_cluster(
    jobs: dict[str, list[dict[str, Any]]], graph: Graph, sweep: SweepConfig, work: Path, settings: dict[str, Any]
) -> Outcome:
    from resgrid.sweep.ray_cluster import start_file_server
    from resgrid.sweep.run_cells import run_cells

    server = start_file_server(settings, jobs)
    outcome, table = Outcome(), LiveTable(list(jobs))
    stages = {cell: [job["stage"] for job in each] for cell, each in jobs.items()}
    with table, Recorder(graph, work, stages, outcome, table) as recorder:
        run_cells(list(jobs), settings, sweep, server, _Cells(outcome, table, recorder))
    ended = {*outcome.done, *outcome.failed, *outcome.stopped}
    outcome.stopped += [cell for cell in jobs if cell not in ended]
    # A cell may have ended before one of its stages couldn't be recorded.
    outcome.done = [cell for cell in outcome.done if cell not in outcome.failed]
    outcome.stopped = [cell for cell in outcome.stopped if cell not in outcome.failed]
    return outcome


def _snapshots(graph: Graph, stages: list[str]) -> list[Snapshot]:
    first = graph.snapshot(stages[0])
    return [first, *(graph.snapshot(stage, first) for stage in stages[1:])]


def _log_plan(run: Run, plan: Plan, config: Config) -> None:
    values = {"address": config.sweep.address, "max_failures": config.sweep.max_failures}
    values |= {"cells": len(plan.to_run), "up_to_date": len(plan.up_to_date)} | config.sweep.resources.model_dump()
    run.log_params({f"sweep.{name}": value for name, value in values.items()})
    run.set_tags({"preset": config.preset, "mlflow.source.name": "resgrid sweep", "commit": current_commit() or ""})
    rows = [{"cell": cell.name, "stages": cell.stages, "why": cell.reason} for cell in plan.cells]
    run.log_text("plan.json", json.dumps(rows, indent=2))


def _summarize(plan: Plan, outcome: Outcome) -> int:
    for cell, reason in outcome.failed.items():
        console.print(f"failed: {cell}: {reason}", style="bold red", markup=False)
    if outcome.stopped:
        console.print(
            f"stopped: {', '.join(outcome.stopped)}; rerun the sweep to resume from their checkpoints",
            style="yellow",
            markup=False,
        )
    restored = sum(1 for cell in plan.cells if cell.restored)
    console.print(
        f"{len(outcome.done)} cells done, {restored} restored, {len(plan.up_to_date)} were up to date, "
        f"{len(outcome.failed)} failed, {len(outcome.stopped)} stopped"
    )
    return 1 if outcome.failed or outcome.stopped else 0
