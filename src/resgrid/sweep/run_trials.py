"""Runs the trials of a search on Ray Tune, with ASHA, which stops bad trials early."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from resgrid.config.search import AshaConfig
from resgrid.config.sweep import SweepConfig
from resgrid.sweep import cell_runner
from resgrid.sweep.ray_cluster import Message, TuneEvents, run_on_tune, start_file_server
from resgrid.sweep.trials import STARTED, Trial

if TYPE_CHECKING:
    from resgrid.sweep.search import Search

Validations = Iterable[tuple[int, float]]


def run_trials(
    search: Search, stage: Message, settings: Message, config: SweepConfig, scheduler: TrialScheduler, slots: int
) -> None:
    """Run the trials that a search proposes until there are no more. Ctrl-C works as in a sweep.

    Args:
        search: proposes trials and follows their validations, `{"step", "val_error"}`, and other messages,
            `{"message": …}`.
        stage: the job of the cell's stage `train`, made by `jobs.stage_job`.
        settings: made by `jobs.settings_of_all`.
        scheduler: made by `make_scheduler`.
        slots: trials in parallel.
    """
    # Tune by default requires the metric in each result, but only some results are validations.
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"
    server = start_file_server(settings, {})
    run_cell, common = cell_runner.run_cell, ray.put((stage, settings))

    def run_one_trial(trial: Message) -> None:
        name, (job, given) = trial["cell"], cast("tuple[Message, Message]", ray.get(common))
        reported_step = 0

        def report(message: Message) -> None:
            nonlocal reported_step
            for step, val_error in message.pop("validations", []):
                if step > reported_step:
                    reported_step = step
                    tune.report({"step": step, "val_error": val_error})
            tune.report({"message": message})

        contents = job["contents"] | {path: text.encode() for path, text in trial["params"].items()}
        # Each trial has its own state folder: with the cell's parameters it has the cell's fingerprint.
        state = f"{given['work']}/trials/{name}"
        saved_as, stages = job["stage"].partition("@")[2], [job | {"stage": name, "contents": contents}]
        trial_job = {"cell": name, "saved_as": saved_as, "stages": stages}
        run_cell(trial_job | {"state": state, "settings": given}, server, report)

    run_on_tune(
        run_one_trial,
        config,
        settings,
        SearchEvents(search, scheduler),
        search_alg=_Proposals(search),
        scheduler=scheduler,
        num_samples=-1,
        max_concurrent_trials=slots,
        trial_dirname_creator=lambda trial: trial.trial_id,
    )


def make_scheduler(asha: AshaConfig | None, max_steps: int, trials: list[Trial]) -> TrialScheduler:
    """Make a scheduler that continues ASHA after earlier trials, or stops no trial if `asha` is None."""
    if asha is None:
        return FIFOScheduler()
    scheduler = _Asha({trial.name: list(trial.validations) for trial in trials}, asha, max_steps)
    for trial in trials:
        if trial.state != STARTED:  # Tune adds only trials that resume
            stub = SimpleNamespace(trial_id=trial.name, config={"cell": trial.name})
            scheduler.on_trial_add(cast("Any", None), cast("Any", stub))
    return scheduler


class _Asha(ASHAScheduler):
    """Ray's scheduler, with the results of trials before an interruption.

    A trial is judged once per step, by what was known then: after that step ASHA doesn't stop the trial there.
    """

    def __init__(self, past: Mapping[str, Validations], asha: AshaConfig, max_steps: int) -> None:
        super().__init__(
            time_attr="step",
            metric="val_error",
            mode="min",
            max_t=max_steps,
            grace_period=asha.grace_steps,
            reduction_factor=asha.reduction,
            stop_last_trials=False,
        )
        self._past = past

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_add(tune_controller, trial)
        _add_results(self, trial, self._past.get(trial.config["cell"], ()))


def _add_results(scheduler: TrialScheduler, trial: Any, validations: Validations) -> None:
    """Add a trial's validations to those that the scheduler compares other trials with."""
    for step, val_error in validations:
        scheduler.on_trial_result(cast("Any", None), trial, {"step": step, "val_error": val_error})


class _Proposals(Searcher):
    """Gives Tune the next trial.

    Ray's OptunaSearch keeps one state for the whole search and pickles it; resgrid's state is the journal.
    """

    def __init__(self, search: Search) -> None:
        super().__init__()
        self._search = search

    def __getstate__(self) -> Message:
        """Return nothing, like `TuneEvents`."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        return self._search.propose() or Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: Message | None = None, error: bool = False) -> None:
        """Do nothing: the journal contains the trial."""

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a search resumes from its journal")


class SearchEvents(TuneEvents):
    """Calls the callbacks of a search on Tune's events."""

    def __init__(self, search: Search, scheduler: TrialScheduler) -> None:
        super().__init__(search)
        self._search, self._scheduler = search, scheduler

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Message, **info: Any) -> None:
        super().on_trial_result(iteration, trials, trial, result, **info)
        if "delivered" in result.get("message", {}):
            # A short trial ends before its last validations are reported.
            _add_results(self._scheduler, trial, self._search.validations(trial.config["cell"]))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if "ended" not in (trial.last_result or {}).get("message", {}):
            self._search.stopped_early(trial.config["cell"])
