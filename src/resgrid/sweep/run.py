"""A sweep from its plan to the report: the table of contents of this package."""

from __future__ import annotations

import json
import os
import queue
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from filelock import FileLock, Timeout

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.files import state_folder, write_atomically
from resgrid.config.sweep import SweepConfig
from resgrid.config.whole import Config
from resgrid.data.reading.image_location import IMAGES_VARIABLE
from resgrid.sweep.graph import TRAIN, Graph, GraphError, Snapshot
from resgrid.sweep.live_table import DONE, FAILED, STOPPED, LiveTable
from resgrid.sweep.plan import Plan, check_resources, make_plan, plan_table
from resgrid.terminal import console
from resgrid.tracking import Run, start_run
from resgrid.tracking.lineage import COMMIT, current_commit
from resgrid.tracking.mlflow_run import PARENT_RUN
from resgrid.tracking.store import EMBEDDED

# What the cells' stages import and is slow to: a supervisor has it ready. No code of the project is among it.
WARM = (
    "torch",
    "torchvision",
    "pytorch_lightning",
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.system_metrics.system_metrics_monitor",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "pandas",
)


@dataclass
class Outcome:
    """How the cells ended.

    Attributes:
        failed: by cell, why.
        stopped: those that the user ended before they were done, or that didn't begin.
        committed: stages that are recorded.
        busy_seconds: time that cells spent computing, all together.
        first_start: of a cell, on the monotonic clock.
        last_commit: of a stage, likewise.
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    committed: list[str] = field(default_factory=list)
    busy_seconds: float = 0.0
    first_start: float | None = None
    last_commit: float | None = None

    @property
    def makespan(self) -> float:
        """Seconds from the start of the first cell to the last commit; 0 if nothing was committed."""
        if self.first_start is None or self.last_commit is None:
            return 0.0
        return self.last_commit - self.first_start


def run_sweep(
    config: Config, patterns: list[str], seeds: list[int] | None, force: bool = False, dry_run: bool = False
) -> int:
    """Run the stale cells side by side, commit each as it finishes, then write the report.

    Args:
        patterns: names of cells or networks, with `*` and `?`; none means all.
        seeds: of the cells; None means all.
        force: also run what is up to date.
        dry_run: print the plan and change nothing.

    Returns:
        The exit status: 0 if every chosen cell is up to date now.

    Raises:
        ValueError: another sweep is running, or the graph, the choice or the cluster can't be used.
    """
    check_resources(config)
    root, state = Path.cwd(), state_folder().resolve()
    with _only_sweep(state):
        area = state / "sweep"
        for folder in ("cells", "delivered", "made", "progress", "tune"):
            shutil.rmtree(area / folder, ignore_errors=True)
        graph = Graph(root, area / "blobs")
        stale = graph.bring_upstream_up_to_date(run=not dry_run)
        if stale and dry_run:
            console.print(f"these run first, and then every cell: {', '.join(stale)}")
            return 0
        with graph.locked():
            plan = make_plan(graph, patterns, seeds, force, dry_run)
        console.print(plan_table(plan, config.sweep))
        if dry_run:
            return 0
        outcome = _run(plan, graph, config, area) if plan.to_run else Outcome()
        status = _summarize(plan, outcome)
        return status or _report(graph)


def _report(graph: Graph) -> int:
    """Write the report if every cell is up to date, else say which are not: `dvc repro` would train them now."""
    with graph.locked():
        stale = {cell for cell, stages in graph.cells().items() for stage in stages if graph.why_stale(stage)}
    if stale:
        console.print(
            f"the report waits for {len(stale)} cells that are stale: they were not chosen, or something that they "
            f"depend on was edited while they ran: {', '.join(sorted(stale))}",
            style="yellow",
            markup=False,
        )
        return 0
    return graph.bring_downstream_up_to_date()


def _run(plan: Plan, graph: Graph, config: Config, area: Path) -> Outcome:
    with graph.locked():
        snapshots = {cell.name: _snapshots(graph, cell.stages) for cell in plan.to_run}
    run = start_run("sweep", DatasetCard.read(PreparedPaths().card).label, None)
    try:
        _log_plan(run, plan, config)
        clock = time.monotonic()
        # Ray takes a second to import, which a plan with nothing to run need not wait for.
        from resgrid.sweep.ray_cluster import cluster

        with cluster(config.sweep) as resources:
            console.print(
                f"{len(plan.to_run)} cells on {resources.get('CPU', 0):g} CPUs and {resources.get('GPU', 0):g} GPUs"
            )
            if resources.get("GPU", 0) and not config.sweep.resources.gpus:
                console.print(
                    "the cells compute on CPUs: sweep.resources.gpus is 0, although there are GPUs; 0.25, say, lets "
                    "four cells share one",
                    style="yellow",
                )
            outcome = _run_on_cluster(snapshots, graph, config, area, run.run_id)
        slots, makespan = cells_at_once(config, resources), outcome.makespan
        until_first = (outcome.first_start or time.monotonic()) - clock
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


def _run_on_cluster(
    snapshots: dict[str, list[Snapshot]], graph: Graph, config: Config, area: Path, parent: str | None
) -> Outcome:
    from resgrid.sweep.ray_cluster import Callbacks, run_cells

    outcome = Outcome()
    deliveries: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
    with LiveTable(list(snapshots)) as board:

        def started(cell: str) -> None:
            outcome.first_start = outcome.first_start or time.monotonic()
            board.started(cell)

        def heard(cell: str, message: dict[str, Any]) -> None:
            board.progress(cell, message)
            if stage := message.get("delivered"):
                outcome.busy_seconds += message["seconds"]
                board.delivered(cell, stage, message["seconds"])
                deliveries.put((cell, stage))
            if ended := message.get("ended"):
                (outcome.done if ended == "done" else outcome.stopped).append(cell)
                board.ended(cell, DONE if ended == "done" else STOPPED)

        def failed(cell: str, reason: str, for_good: bool) -> None:
            if for_good:
                outcome.failed[cell] = reason
                board.ended(cell, FAILED, reason)
            else:
                board.retried(cell, reason)

        committer = threading.Thread(target=_commit_all, args=(deliveries, graph, area, outcome, board), name="commits")
        committer.start()
        try:
            run_cells(
                {cell: {"stages": _as_jobs(stages)} for cell, stages in snapshots.items()},
                common_to_cells(area, graph, config.sweep, parent),
                config.sweep,
                area / "tune",
                Callbacks(started, heard, failed),
            )
        finally:
            deliveries.put(None)
            committer.join()
    ended = {*outcome.done, *outcome.failed, *outcome.stopped}
    outcome.stopped += [cell for cell in snapshots if cell not in ended]
    outcome.done = [cell for cell in outcome.done if cell not in outcome.failed]
    return outcome


def _commit_all(
    deliveries: queue.SimpleQueue[tuple[str, str] | None], graph: Graph, area: Path, outcome: Outcome, board: LiveTable
) -> None:
    """Commit what is delivered, one stage after the other: the only thread that writes to dvc.lock."""
    while (delivery := deliveries.get()) is not None:
        cell, stage = delivery
        if cell in outcome.failed:
            continue  # its train can't be recorded, so neither can its evaluate
        try:
            graph.commit(stage, area / "delivered" / stage)
        except (OSError, DvcException) as error:
            outcome.failed[cell] = (
                f"{stage} ran, but can't be recorded: {error}; what it made is in its place: when the cause is mended, "
                f"`dvc commit -f {stage}` records it"
            )
            board.ended(cell, FAILED, outcome.failed[cell])
        else:
            outcome.committed.append(stage)
            outcome.last_commit = time.monotonic()
            shutil.rmtree(area / "delivered" / stage, ignore_errors=True)


def _snapshots(graph: Graph, stages: list[str]) -> list[Snapshot]:
    train: Snapshot | None = None
    snapshots: list[Snapshot] = []
    for stage in stages:
        snapshots.append(graph.snapshot(stage, train))
        if stage.startswith(f"{TRAIN}@"):
            train = snapshots[-1]
    return snapshots


def _as_jobs(snapshots: list[Snapshot]) -> list[dict[str, Any]]:
    later = [path for snapshot in snapshots for path in snapshot.made_by_train]
    return [
        asdict(snapshot) | {"kept_for_evaluate": [p for p in snapshot.outs if p in later]} for snapshot in snapshots
    ]


def common_to_cells(area: Path, graph: Graph, config: SweepConfig, parent: str | None) -> dict[str, Any]:
    """What all cells of the sweep are told."""
    token = secrets.token_hex(16)
    write_atomically(area / "token", token.encode())
    own = {COMMIT: current_commit() or "", PARENT_RUN: parent or "", "RESGRID_TRACKING": str(EMBEDDED.resolve())}
    if config.resources.gpus == 0:
        own["CUDA_VISIBLE_DEVICES"] = ""  # a cell that was given no GPU uses none
    passed_on = {
        name: value for name, value in os.environ.items() if name.startswith("MLFLOW_") or name == IMAGES_VARIABLE
    }
    return {
        "root": str(graph.root),
        "area": str(area),
        "state": str(area.parent),
        "token": token,
        "readable": [str(graph.cache), str(EMBEDDED.resolve())],
        "environment": passed_on | own,
        "supervisor": _source("supervisor.py"),
        "guard": _source("guard.py"),
        "warm": list(WARM),
    }


def _source(name: str) -> str:
    """A program of this package that goes to the nodes as text."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _log_plan(run: Run, plan: Plan, config: Config) -> None:
    run.log_params(
        {
            "sweep.address": config.sweep.address,
            "sweep.cpus": config.sweep.resources.cpus,
            "sweep.gpus": config.sweep.resources.gpus,
            "sweep.max_failures": config.sweep.max_failures,
            "sweep.cells": len(plan.to_run),
            "sweep.up_to_date": len(plan.fresh),
        }
    )
    run.set_tags({"preset": config.preset, "mlflow.source.name": "resgrid sweep", "commit": current_commit() or ""})
    rows = [{"cell": cell.name, "stages": cell.stages, "why": cell.reason} for cell in plan.cells]
    run.log_text("plan.json", json.dumps(rows, indent=2))


def cells_at_once(config: Config, resources: dict[str, float]) -> float:
    """How many cells run at once."""
    wanted = config.sweep.resources
    slots = resources.get("CPU", 0.0) // wanted.cpus
    return min(slots, resources.get("GPU", 0.0) // wanted.gpus) if wanted.gpus else slots


def _summarize(plan: Plan, outcome: Outcome) -> int:
    for cell, reason in outcome.failed.items():
        console.print(f"failed: {cell}: {reason}", style="bold red", markup=False)
    if outcome.stopped:
        console.print(
            f"stopped before they were done: {', '.join(outcome.stopped)}; `make sweep` goes on from their checkpoints",
            style="yellow",
            markup=False,
        )
    restored = sum(1 for cell in plan.cells if cell.restored)
    console.print(
        f"{len(outcome.done)} cells done, {restored} restored, {len(plan.fresh)} were up to date, "
        f"{len(outcome.failed)} failed, {len(outcome.stopped)} stopped"
    )
    return 1 if outcome.failed or outcome.stopped else 0


@contextmanager
def _only_sweep(state: Path) -> Iterator[None]:
    """Two sweeps in one repository would train the same cells twice."""
    state.mkdir(parents=True, exist_ok=True)
    owner = state / "sweep.pid"
    lock = FileLock(state / "sweep.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        pid = owner.read_text(encoding="utf-8") if owner.exists() else "unknown"
        raise GraphError(
            f"a sweep is running in this repository already (process {pid}): wait for it, or end it"
        ) from None
    with lock:
        write_atomically(owner, str(os.getpid()).encode())
        yield
        owner.unlink(missing_ok=True)
