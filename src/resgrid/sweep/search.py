"""A search from its space to the best parameters: parallel trials on Ray Tune, which are not part of the grid.

Trials are compared by validation error; none reads the test data.
"""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import sys
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.box import SIMPLE_HEAD
from rich.table import Table

from resgrid.artifacts.cell_files import CellPaths
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.files import sha256_of_text, state_folder
from resgrid.artifacts.run_record import RunRecord
from resgrid.cells import Cell
from resgrid.config.reading import PARAMS_FILE, read_params, with_changes
from resgrid.config.whole import Config
from resgrid.sweep import live_table
from resgrid.sweep.graph import TRAIN, Graph, GraphError, Snapshot
from resgrid.sweep.jobs import clean, parameter_files, settings_of_all, stage_job, wait_for_exit
from resgrid.sweep.space import Configuration, Space, in_words
from resgrid.sweep.trials import DONE, STARTED, STOPPED, Journal, Trial
from resgrid.terminal import console
from resgrid.tracking import Run, start_run
from resgrid.tracking.lineage import current_commit

BEST = "best"


def run_search(config: Config) -> int:
    """Train with the parameters that the section `search` tries, and print the best; resume an interrupted search.

    Returns:
        The exit status: 0 if all trials have ended.

    Raises:
        ValueError: the section contradicts others, this search is running, or the graph or the cluster can't be used.
    """
    config.check_resources()
    wanted = config.search
    space = Space(wanted.space, read_params(PARAMS_FILE), PARAMS_FILE)
    space.check()
    if wanted.asha is not None and wanted.asha.grace_steps >= config.train.max_steps:
        raise ValueError(
            f"search.asha.grace_steps: {wanted.asha.grace_steps}: too late; use less than train.max_steps, "
            f"{config.train.max_steps}, or `asha: null` to stop no trial early"
        )
    graph = Graph(Path.cwd())
    cell = Cell(wanted.network, wanted.seed)
    if cell.name not in graph.cells():
        raise ValueError(
            f"search.network: {wanted.network!r} with search.seed {wanted.seed} is not a cell of the grid; "
            "add it to the section `grid`"
        )
    graph.bring_upstream_up_to_date()
    snapshot = graph.snapshot(f"{TRAIN}@{cell.name}")
    work = state_folder().resolve() / "searches" / f"{cell.name}-{_identity(snapshot, config)[:16]}"
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0):
            search = Search(config, space, snapshot, work)
            search.close_ended()
            if not search.is_over:
                search.run(graph)
            return search.summarize()
    except Timeout:
        raise GraphError(f"{work}: this search is running; wait until it ends or terminate it") from None


class Search:
    """Proposes the trials of a search, follows them and closes them.

    Args:
        space: checked.
        snapshot: of the cell's stage `train`.
        work: the work directory, which contains the journal, the trials' checkpoints and the best trial's outputs.
    """

    def __init__(self, config: Config, space: Space, snapshot: Snapshot, work: Path) -> None:
        self._config, self._space, self._snapshot, self._work = config, space, snapshot, work
        self._cell = Cell(config.search.network, config.search.seed)
        self._label = DatasetCard.read(PreparedPaths().card).label
        self._journal = Journal(work / "journal.jsonl")
        self._waiting = [trial for trial in self._journal.trials if trial.state == STARTED]
        self._running: dict[str, Trial] = {}
        self._failed: dict[str, str] = {}
        self._stopping = False
        self._problem: ValueError | None = None
        self._table = live_table.LiveTable([])

    @property
    def is_over(self) -> bool:
        """Whether all trials have ended, or the space is exhausted."""
        return len(self._journal.ended) >= self._config.search.trials or (
            not self._waiting and not self._running and self._next_configuration() is None
        )

    def close_ended(self) -> None:
        """Close the trials that have ended: in this search, or just before an earlier search was killed."""
        for trial in self._journal.ended:
            if (self._work / "trials" / trial.name).exists():
                self._close(trial)

    def run(self, graph: Graph) -> None:
        """Run trials until there are enough, or the user terminates the search."""
        clean(self._work)
        shutil.rmtree(self._work / "delivered", ignore_errors=True)
        run = start_run(f"search {self._cell.network}", self._label, self._journal.parent_run)
        if self._journal.parent_run != run.run_id or not self._journal.trials:
            self._journal.begin_search(run.run_id)
        status = "FAILED"
        try:
            self._log_search(run)
            self._run_on_cluster(graph, run)
            status = "FAILED" if self._failed else "KILLED" if self._stopping else "FINISHED"
        finally:
            self.close_ended()
            errors = (trial.val_error for trial in self._journal.ended if trial.state == DONE)
            for count, best in enumerate(accumulate(errors, min), start=1):
                run.log_metrics(count, {"search/best_val_error": best})
            run.log_text("trials.json", json.dumps([asdict(trial) for trial in self._journal.trials], indent=2))
            run.finish(status)

    def summarize(self) -> int:
        """Print the trials, the best first, and the command that trains with its parameters."""
        console.print(_table(self._journal, self._config))
        for name, reason in self._failed.items():
            console.print(f"failed: {name}: {reason}", style="bold red", markup=False)
        if len(self._journal.trials) < self._config.search.trials and not self._stopping:
            console.print(f"the space has only these {len(self._journal.trials)} configurations")
        if self._stopping:
            console.print("stopped; `make search` resumes here", style="yellow")
        if (best := self._journal.best) is not None:
            console.print(
                f"{best.name} is the best, with a validation error of {best.val_error:.2f}% after {best.step} steps; "
                f"its weights and curve are in {os.path.relpath(self._work / BEST)}. "
                "To train the grid with its parameters:",
                markup=False,
            )
            sys.stdout.write(experiment_line(best.parameters) + "\n")
        return 1 if self._failed or self._stopping else 0

    def _run_on_cluster(self, graph: Graph, run: Run) -> None:
        # Importing Ray takes a second, which mistakes above must not wait for.
        from resgrid.sweep.ray_cluster import cluster
        from resgrid.sweep.run_trials import make_scheduler, run_trials

        config = self._config
        scheduler = make_scheduler(config.search.asha, config.train.max_steps, self._journal.trials)
        job = stage_job(self._snapshot, config.machine)
        with cluster(config.sweep, config.processes_of_a_cell) as (resources, sweep), self._table:
            settings = settings_of_all(self._work, graph, sweep, run.run_id, [self._snapshot])
            slots = max(1, sweep.resources.cells_at_once(resources))
            left = config.search.trials - len(self._journal.ended)
            console.print(f"{left} of {config.search.trials} trials to run, up to {min(left, slots)} in parallel")
            run_trials(self, job, settings, sweep, scheduler, slots)
        if self._problem is not None:
            raise self._problem

    def propose(self) -> dict[str, Any] | None:
        """The next trial for Tune: an interrupted trial, or a new one."""
        if self._stopping or self._problem is not None:
            return None
        if self._waiting:
            trial = self._waiting.pop(0)
        else:
            configuration = self._next_configuration()
            if configuration is None:
                return None
            trial = Trial(len(self._journal.trials), configuration)
        try:
            self._space.check_configuration(trial.parameters)
        except ValueError as error:  # raised after the running trials: Tune would hide it
            self._problem = error
            return None
        if trial.number == len(self._journal.trials):
            self._journal.begin(trial)
        self._running[trial.name] = trial
        self._table.add(self._title(trial.name))
        params = {path: with_changes(values, trial.parameters) for path, values in self._snapshot.params.items()}
        return {"cell": trial.name, "params": parameter_files(params, self._config.machine)}

    def _next_configuration(self) -> Configuration | None:
        """The configuration of a new trial; None if there are enough trials or no other configurations."""
        number = len(self._journal.trials)
        if number >= self._config.search.trials:
            return None
        return self._space.propose(self._config.search, number, self._journal.trials)

    def started(self, cell: str) -> None:
        self._table.started(self._title(cell))

    def reported(self, cell: str, message: dict[str, Any]) -> None:
        trial = self._running[cell]
        if "val_error" in message:
            self._journal.add_validation(trial, message["step"], message["val_error"])
            return
        message = message.get("message", {})
        # The table estimates the time left of the stage `train`; the trial's stage has the trial's name.
        self._table.progress(self._title(cell), message | {"stage": TRAIN})
        if "delivered" in message and trial.state != DONE:
            trial.state = DONE
            with (self._outs(trial) / CellPaths(self._cell).curve).open(encoding="utf-8", newline="") as file:
                trial.validations = [(int(float(row["step"])), float(row["val/error"])) for row in csv.DictReader(file)]
            self._end(trial)
            self._table.delivered(self._title(cell), f"{TRAIN} ({trial.val_error:.2f}%)", message["seconds"])
            self._table.ended(self._title(cell), live_table.DONE)
        elif message.get("ended") == "terminated":
            self._stopping = True
            self._table.ended(self._title(cell), live_table.STOPPED)

    def stopped_early(self, cell: str) -> None:
        trial = self._running[cell]
        trial.state = STOPPED
        self._end(trial)
        self._table.ended(
            self._title(cell),
            live_table.STOPPED,
            f"its validation error at step {trial.step} is {trial.val_error:.2f}%; other trials were better",
        )

    def failed(self, cell: str, reason: str, is_last: bool) -> None:
        if not is_last:
            self._table.retried(self._title(cell), reason)
            return
        self._failed[f"{cell} ({in_words(self._running[cell].parameters)})"] = reason
        self._table.ended(self._title(cell), live_table.FAILED, reason)

    def validations(self, name: str) -> list[tuple[int, float]]:
        """All validations of a trial, as far as they are known."""
        return self._running[name].validations

    def _end(self, trial: Trial) -> None:
        records = sorted((self._work / "trials" / trial.name / "records").glob("*.json"))
        trial.run_id = RunRecord.read(records[0]).run_id if records else None
        if trial.state == DONE:
            if self._journal.best is trial:
                shutil.rmtree(self._work / BEST, ignore_errors=True)
                (self._outs(trial) / CellPaths(self._cell).root).replace(self._work / BEST)
            shutil.rmtree(self._outs(trial))
        self._journal.end(trial)

    def _close(self, trial: Trial) -> None:
        """Tag a trial's run and delete its folders, once its processes have exited."""
        wait_for_exit(self._work / "cells" / trial.name)
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
            shutil.rmtree(self._work / folder / trial.name, ignore_errors=True)

    def _log_search(self, run: Run) -> None:
        wanted = self._config.search
        run.log_params(
            {"search.network": wanted.network, "search.seed": wanted.seed, "search.searcher": wanted.searcher}
            | {"search.asha": json.dumps(wanted.asha.model_dump() if wanted.asha else None)}
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
        return self._work / "delivered" / trial.name

    def _title(self, name: str) -> str:
        return f"{name} ({in_words(self._running[name].parameters)})"


def experiment_line(configuration: Configuration) -> str:
    """The command that trains the grid with these parameters: `dvc exp run -S optimizer.lr=0.1 …`."""
    settings = [f"{name}={json.dumps(value)}" for name, value in configuration.items()]
    return " ".join(["dvc exp run", *(f"-S {shlex.quote(setting)}" for setting in settings)])


def _identity(snapshot: Snapshot, config: Config) -> str:
    """Hash everything that decides a search's trials: code (by its manifest), data, parameters, and the search itself.

    The number of trials and the present values of searched parameters are left out: a search can be made longer, and
    resumes after its best parameters were written to params.yaml.
    """
    wanted = config.search.model_dump(mode="json", exclude={"trials"})
    searched = dict.fromkeys(wanted["space"])
    params = {path: with_changes(values, searched) for path, values in snapshot.params.items()}
    return sha256_of_text(json.dumps(snapshot.inputs | {"params": params, "search": wanted}, sort_keys=True))


def _table(journal: Journal, config: Config) -> Table:
    names = list(config.search.space)
    ended = journal.ended
    table = Table(
        title=f"search {config.search.network}, seed {config.search.seed}: {len(ended)} trials, by validation error",
        caption="stopped: early, because other trials were better at that step",
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
            f"{trial.val_error:.2f}%",
            "" if trial.state == DONE else "stopped",
            style="bold green" if trial is journal.best else None,
        )
    return table
