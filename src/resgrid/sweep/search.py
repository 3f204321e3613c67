"""A search from its space to the best parameters: trials side by side on Ray Tune, none of them part of the study.

What is compared is the validation error; no trial sees the test data.
"""

from __future__ import annotations

import csv
import json
import os
import queue
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout
from rich.box import SIMPLE_HEAD
from rich.table import Table
from ruamel.yaml import YAML

from resgrid.artifacts.cell_files import CellPaths
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.files import sha256_of_text, state_folder
from resgrid.artifacts.run_record import RunRecord
from resgrid.cells import Cell
from resgrid.config.reading import PARAMS_FILE, read_params, with_changes
from resgrid.config.whole import Config
from resgrid.sweep import live_table as show
from resgrid.sweep.graph import TRAIN, Graph, GraphError, Snapshot
from resgrid.sweep.live_table import LiveTable
from resgrid.sweep.plan import check_resources
from resgrid.sweep.run import cells_at_once, common_to_cells
from resgrid.sweep.space import Point, Space, in_words
from resgrid.sweep.trials import DONE, STARTED, STOPPED, Journal, Trial
from resgrid.terminal import console
from resgrid.tracking import Run, start_run
from resgrid.tracking.lineage import current_commit

END_SECONDS = 60.0
BEST = "best"


def run_search(config: Config) -> int:
    """Train with the parameters that the section `search` has tried, and print the best; goes on where it was.

    Returns:
        The exit status: 0 if all trials have ended.

    Raises:
        ValueError: the section doesn't fit the other ones, this search is running already, or the graph or the
            cluster can't be used.
    """
    check_resources(config)
    wanted = config.search
    space = Space(wanted.space, read_params(PARAMS_FILE), PARAMS_FILE)
    space.check()
    if wanted.asha is not None and wanted.asha.grace_steps >= config.train.max_steps:
        raise ValueError(
            f"search.asha.grace_steps: {wanted.asha.grace_steps}: must be below train.max_steps, "
            f"{config.train.max_steps}; `asha: null` stops no trial early"
        )
    searches = state_folder().resolve() / "searches"
    graph = Graph(Path.cwd(), searches / "code")
    cell = Cell(wanted.network, wanted.seed)
    if cell.name not in graph.cells():
        raise ValueError(
            f"search.network: {wanted.network!r} with search.seed {wanted.seed} is no cell of the grid: "
            "the search runs its stage `train`; add it to the section `grid`"
        )
    graph.bring_upstream_up_to_date()
    snapshot = graph.snapshot(f"{TRAIN}@{cell.name}")
    area = searches / f"{cell.name}-{_identity(snapshot, config)[:16]}"
    with _only_one(area):
        search = Search(config, space, snapshot, area)
        search.close_interrupted()
        if not search.is_over:
            search.run(graph)
        return search.summarize()


class Search:
    """The trials of one search, and what is done about them.

    Args:
        config: of everything.
        space: checked.
        snapshot: of the stage `train` of the cell.
        area: the folder of this search; it holds its journal, its trials' checkpoints and the best one's outs.
    """

    def __init__(self, config: Config, space: Space, snapshot: Snapshot, area: Path) -> None:
        self._config, self._space, self._snapshot, self._area = config, space, snapshot, area
        self._cell = Cell(config.search.network, config.search.seed)
        self._label = DatasetCard.read(PreparedPaths().card).label
        self._journal = Journal(area / "journal.jsonl")
        self._waiting = [trial for trial in self._journal.trials if trial.state == STARTED]
        self._running: dict[str, Trial] = {}
        self._failed: dict[str, str] = {}
        self._stopping = False
        self._problem: ValueError | None = None
        self._closing: queue.SimpleQueue[Trial | None] = queue.SimpleQueue()
        self._live_table = LiveTable([])

    @property
    def is_over(self) -> bool:
        """Whether as many trials as wanted have ended, or the space is exhausted."""
        return len(self._journal.ended) >= self._config.search.trials or (
            not self._waiting and not self._running and self._next_point() is None
        )

    def close_interrupted(self) -> None:
        """Close trials that ended just before an earlier search was killed: they have left their folders behind."""
        for trial in self._journal.ended:
            if (self._area / "trials" / trial.name).exists():
                self._close(trial)

    def run(self, graph: Graph) -> None:
        """Train until there are as many trials as wanted, or the user stops."""
        _wait_for_end(self._area / "cells")  # a search that was killed takes its trials along, but not at once
        for folder in ("cells", "delivered", "progress", "tune"):
            shutil.rmtree(self._area / folder, ignore_errors=True)
        run = start_run(f"search {self._cell.network}", self._label, self._journal.parent_run)
        if self._journal.parent_run != run.run_id or not self._journal.trials:
            self._journal.begin_search(run.run_id)
        status = "FAILED"
        try:
            self._log_search(run)
            self._run_on_cluster(graph, run)
            status = "FAILED" if self._failed else "KILLED" if self._stopping else "FINISHED"
        finally:
            run.log_text("trials.json", json.dumps([asdict(trial) for trial in self._journal.trials], indent=2))
            run.finish(status)

    def summarize(self) -> int:
        """Print the trials, the best first, and the line that trains with its parameters."""
        console.print(_table(self._journal, self._config))
        for name, reason in self._failed.items():
            console.print(f"failed: {name}: {reason}", style="bold red", markup=False)
        if len(self._journal.trials) < self._config.search.trials and not self._stopping:
            console.print(f"the space holds no more points than these {len(self._journal.trials)}")
        if self._stopping:
            console.print("stopped; `make search` goes on from here", style="yellow")
        if (best := self._journal.best) is not None:
            console.print(
                f"{best.name} is the best, with a validation error of {best.val_error:.2f} % after {best.step} steps; "
                f"its weights and curve are in {os.path.relpath(self._area / BEST)}. "
                "To train the study with its parameters:",
                markup=False,
            )
            sys.stdout.write(experiment_line(best.parameters) + "\n")
        return 1 if self._failed or self._stopping else 0

    def _run_on_cluster(self, graph: Graph, run: Run) -> None:
        # Ray takes a second to import, which a mistake above need not wait for.
        from resgrid.sweep.ray_cluster import cluster
        from resgrid.sweep.run_trials import SearchCallbacks, make_scheduler, run_trials

        config = self._config
        past = {trial.name: list(trial.validations) for trial in self._journal.trials}
        ended = [trial.name for trial in self._journal.ended]
        common = common_to_cells(self._area, graph, config.sweep, run.run_id)
        common["readable"] += [str(self._area.parent)]  # the snapshot's code is beside the searches
        closer = threading.Thread(target=self._close_all, args=(run,), name="closing")
        closer.start()
        try:
            with cluster(config.sweep) as resources, self._live_table:
                at_once = max(1, int(cells_at_once(config, resources)))
                left = config.search.trials - len(ended)
                console.print(f"{left} of {config.search.trials} trials to run, up to {min(left, at_once)} at once")
                run_trials(
                    self._cell.name,
                    asdict(self._snapshot) | {"kept_for_evaluate": []},
                    common,
                    config.sweep,
                    make_scheduler(config.search.asha, config.train.max_steps, past, ended),
                    self._area / "tune",
                    at_once,
                    SearchCallbacks(
                        started=lambda name: self._live_table.started(self._title(name)),
                        heard=self._hear,
                        failed=self._fail,
                        propose=self._propose,
                        given_up=self._give_up,
                        curve=lambda name: self._running[name].validations,
                    ),
                )
        finally:
            self._closing.put(None)
            closer.join()
        if self._problem is not None:
            raise self._problem

    def _propose(self) -> dict[str, Any] | None:
        """The next trial for the tuner: one that was interrupted, or a new one."""
        if self._stopping or self._problem is not None:
            return None
        if self._waiting:
            trial = self._waiting.pop(0)
        else:
            point = self._next_point()
            if point is None:
                return None
            trial = Trial(len(self._journal.trials), point)
        try:
            self._space.settle(trial.parameters)
        except ValueError as error:  # told after the trials that run: Tune would bury it
            self._problem = error
            return None
        if trial.number == len(self._journal.trials):
            self._journal.begin(trial)
        self._running[trial.name] = trial
        self._live_table.add(self._title(trial.name))
        params = {path: _with(text, trial.parameters) for path, text in self._snapshot.params.items()}
        return {"cell": trial.name, "params": params}

    def _next_point(self) -> Point | None:
        """The parameters of a new trial; None if there are enough, or no others to try."""
        number = len(self._journal.trials)
        if number >= self._config.search.trials:
            return None
        return self._space.propose(self._config.search, number, self._journal.trials)

    def _hear(self, name: str, result: dict[str, Any]) -> None:
        trial = self._running[name]
        if "val_error" in result:
            self._journal.hear(trial, result["step"], result["val_error"])
            return
        message = result.get("message", {})
        # The table knows the time that is left of a stage `train`, whatever the trial's folder is called.
        self._live_table.progress(self._title(name), message | {"stage": TRAIN})
        if "delivered" in message:
            trial.state = DONE
            trial.validations = _curve(self._outs(trial) / CellPaths(self._cell).curve)
            self._end(trial)
            self._live_table.delivered(self._title(name), f"{TRAIN} ({trial.val_error:.2f} %)", message["seconds"])
            self._live_table.ended(self._title(name), show.DONE)
        elif message.get("ended") == "stopped":
            self._stopping = True
            self._live_table.ended(self._title(name), show.STOPPED)

    def _give_up(self, name: str) -> None:
        trial = self._running[name]
        trial.state = STOPPED
        self._end(trial)
        self._live_table.ended(
            self._title(name),
            show.STOPPED,
            f"at step {trial.step} its validation error is {trial.val_error:.2f} %: others were better",
        )

    def _fail(self, name: str, reason: str, for_good: bool) -> None:
        if not for_good:
            self._live_table.retried(self._title(name), reason)
            return
        self._failed[f"{name} ({in_words(self._running[name].parameters)})"] = reason
        self._live_table.ended(self._title(name), show.FAILED, reason)

    def _end(self, trial: Trial) -> None:
        records = sorted((self._area / "trials" / trial.name / "records").glob("*.json"))
        trial.run_id = RunRecord.read(records[0]).run_id if records else None
        if trial.state == DONE:
            if self._journal.best is trial:
                shutil.rmtree(self._area / BEST, ignore_errors=True)
                (self._outs(trial) / CellPaths(self._cell).root).replace(self._area / BEST)
            shutil.rmtree(self._outs(trial))
        self._journal.end(trial)
        self._closing.put(trial)

    def _close_all(self, run: Run) -> None:
        """Close the trials that end, and log the best error so far."""
        count = len(self._journal.ended)
        while (trial := self._closing.get()) is not None:
            self._close(trial)
            count += 1
            if (best := self._journal.best) is not None:
                run.log_metrics(count, {"search/best_val_error": best.val_error})

    def _close(self, trial: Trial) -> None:
        """Tag a trial's run and remove what it leaves behind, once its processes are gone."""
        _wait_for_end(self._area / "cells" / trial.name)
        if trial.run_id is not None:
            run = start_run(trial.name, self._label, trial.run_id)
            run.set_tags(
                {
                    "search.trial": str(trial.number),
                    "search.end": "done" if trial.state == DONE else f"stopped early at step {trial.step}",
                    "mlflow.runName": f"{self._cell.name} {trial.name}",
                }
            )
            run.finish("FINISHED" if trial.state == DONE else "KILLED")
        for folder in ("cells", "trials"):
            shutil.rmtree(self._area / folder / trial.name, ignore_errors=True)

    def _log_search(self, run: Run) -> None:
        wanted = self._config.search
        run.log_params(
            {
                "search.network": wanted.network,
                "search.seed": wanted.seed,
                "search.searcher": wanted.searcher,
                "search.asha": json.dumps(wanted.asha.model_dump() if wanted.asha else None),
            }
            | {f"search.space.{name}": json.dumps(values) for name, values in wanted.space.items()}
        )
        run.set_tags(
            {
                "preset": self._config.preset,
                "mlflow.source.name": "resgrid search",
                "commit": current_commit() or "",
                "search.trials": str(wanted.trials),
            }
        )

    def _outs(self, trial: Trial) -> Path:
        return self._area / "delivered" / trial.name

    def _title(self, name: str) -> str:
        return f"{name} ({in_words(self._running[name].parameters)})"


def experiment_line(point: Point) -> str:
    """The command that trains the study with these parameters: `dvc exp run -S optimizer.lr=0.1 …`."""
    settings = [f"{name}={json.dumps(value)}" for name, value in point.items()]
    return " ".join(["dvc exp run", *(f"-S {shlex.quote(setting)}" for setting in settings)])


def _identity(snapshot: Snapshot, config: Config) -> str:
    """One hash over what a search's trials are functions of: code, data, parameters, and the search itself.

    Their number is not in it, nor are the present values of what is searched: a search can be made longer, and goes
    on after its best parameters have found their way into params.yaml.
    """
    wanted = config.search.model_dump(mode="json", exclude={"trials"})
    nothing = dict.fromkeys(wanted["space"])
    parts = {
        "commands": snapshot.commands,
        "files": [(item.path, item.md5) for item in snapshot.files],
        "params": [
            (path, with_changes(YAML(typ="safe", pure=True).load(text), nothing))
            for path, text in snapshot.params.items()
        ],
        "search": wanted,
    }
    return sha256_of_text(json.dumps(parts, sort_keys=True))


def _with(text: str, point: Point) -> str:
    """A parameter file with other values."""
    yaml, changed = YAML(typ="safe", pure=True), StringIO()
    yaml.dump(with_changes(yaml.load(text), point), changed)
    return changed.getvalue()


def _curve(path: Path) -> list[tuple[int, float]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(int(float(row["step"])), float(row["val/error"])) for row in csv.DictReader(file)]


def _wait_for_end(folder: Path) -> None:
    """Until no process of this machine works in a folder or below: a trial that is told to end takes a moment."""
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        places = [process.info["cwd"] for process in psutil.process_iter(["cwd"])]
        if not any(place and Path(place).is_relative_to(folder) for place in places):
            return
        time.sleep(0.2)


def _table(journal: Journal, config: Config) -> Table:
    names = list(config.search.space)
    ended = journal.ended
    table = Table(
        title=f"search {config.search.network}, seed {config.search.seed}: {len(ended)} trials, by validation error",
        caption="stopped: early, since others were better at that step",
        box=SIMPLE_HEAD,
    )
    for column in ("trial", *(name.replace(".", ".\n").replace("_", "_\n") for name in names), "step", "val error"):
        table.add_column(column, justify="right", overflow="fold")
    table.add_column("")
    for trial in sorted(ended, key=lambda trial: (trial.state != DONE, -trial.step, trial.val_error, trial.number)):
        table.add_row(
            str(trial.number),
            *(str(trial.parameters[name]) for name in names),
            f"{trial.step:,}",
            f"{trial.val_error:.2f} %",
            "" if trial.state == DONE else "stopped",
            style="bold green" if trial is journal.best else None,
        )
    return table


@contextmanager
def _only_one(area: Path) -> Iterator[None]:
    area.mkdir(parents=True, exist_ok=True)
    lock = FileLock(area / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise GraphError(f"this search is running already (its folder is {area}): wait for it, or end it") from None
    with lock:
        yield
