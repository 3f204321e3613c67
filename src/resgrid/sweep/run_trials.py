"""Ray Tune as the driver of a search: trials as they are proposed, and ASHA, which gives the bad ones up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from resgrid.config.search import AshaConfig
from resgrid.config.sweep import SweepConfig
from resgrid.sweep import cell_runner
from resgrid.sweep.ray_cluster import Callbacks, Message, TuneEvents, clear_nodes, start_file_server, stop_on_signals

Validations = Iterable[tuple[int, float]]


@dataclass(frozen=True)
class SearchCallbacks(Callbacks):
    """Whom the tuner tells what happens, in Tune's own thread.

    Attributes:
        heard: gets `{"step", "val_error"}` for each validation, and `{"message": …}` for all else.
        propose: the next trial: `cell`, its name, and `params`, by path the content of its parameter files; None when
            there are no more.
        given_up: told of a trial that was stopped early.
        curve: all validations of a trial that is done: a short one ends before the last of them are heard of.
    """

    propose: Callable[[], Message | None]
    given_up: Callable[[str], None]
    curve: Callable[[str], Validations]


def run_trials(
    cell: str,
    stage: Message,
    common: Message,
    config: SweepConfig,
    scheduler: TrialScheduler,
    storage: Path,
    slots: int,
    listener: SearchCallbacks,
) -> None:
    """Run what is proposed until nothing more is. Ctrl-C as in a sweep.

    Args:
        cell: of the study, whose checkpoints' names those of the trials have.
        stage: its snapshot of the stage `train`, as a dictionary; each trial runs it with its own parameters.
        common: what is common to all trials.
        scheduler: of `make_scheduler`.
        storage: an absolute folder for Tune's own files.
        slots: trials at once.
    """
    # A result may be of a validation or not; by default Tune wants the metric in each of them.
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"
    file_server = start_file_server(common, {})
    run_cell, shared = cell_runner.run_cell, ray.put({"stage": stage, "saved_as": cell, "common": common})

    def train_one_trial(trial: Message) -> None:
        name, given = trial["cell"], cast("Message", ray.get(shared))
        heard_until = 0

        def report(message: Message) -> None:
            nonlocal heard_until
            for step, val_error in message.pop("validations", []):
                if step > heard_until:
                    heard_until = step
                    tune.report({"step": step, "val_error": val_error})
            tune.report({"message": message})

        job = {
            "cell": name,
            "saved_as": given["saved_as"],
            "stages": [given["stage"] | {"stage": name, "params": trial["params"]}],
            # Checkpoints and records of its own: the study's cell of the same parameters has the same fingerprint.
            "state": f"{given['common']['area']}/trials/{name}",
            "sweep": given["common"],
        }
        run_cell(job, file_server, report)

    resources = tune.PlacementGroupFactory([{"CPU": float(config.resources.cpus), "GPU": config.resources.gpus}])
    tuner = tune.Tuner(
        tune.with_resources(train_one_trial, resources),
        tune_config=tune.TuneConfig(
            search_alg=_Proposals(listener.propose),
            scheduler=scheduler,
            num_samples=-1,
            max_concurrent_trials=slots,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(storage),
            failure_config=tune.FailureConfig(max_failures=config.max_failures),
            callbacks=[SearchEvents(listener, scheduler)],
            verbose=0,
        ),
    )
    with stop_on_signals(file_server):
        tuner.fit()
    clear_nodes(common)


def make_scheduler(
    asha: AshaConfig | None, max_steps: int, past: Mapping[str, Validations], ended: Iterable[str]
) -> TrialScheduler:
    """ASHA as it was when the search was interrupted, or a scheduler that stops nothing.

    Args:
        past: the validations of earlier trials, by name.
        ended: those of them that don't go on.
    """
    if asha is None:
        return FIFOScheduler()
    scheduler = _Asha(past, asha, max_steps)
    for name in ended:
        scheduler.on_trial_add(cast("Any", None), cast("Any", SimpleNamespace(trial_id=name, config={"cell": name})))
    return scheduler


class _Asha(ASHAScheduler):
    """Ray's, which knows what a trial did before an interruption.

    A trial is judged once at a step, with what was known then: one that was let go on isn't stopped there afterwards.
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
        _tell(self, trial, self._past.get(trial.config["cell"], ()))


def _tell(scheduler: TrialScheduler, trial: Any, validations: Validations) -> None:
    """Have a trial's validations count for what becomes of others."""
    for step, val_error in validations:
        scheduler.on_trial_result(cast("Any", None), trial, {"step": step, "val_error": val_error})


class _Proposals(Searcher):
    """Tune's way to ask for the next trial.

    Ray's own OptunaSearch has one state for the whole search, which it saves by pickle; ours is the journal.
    """

    def __init__(self, propose: Callable[[], Message | None]) -> None:
        super().__init__()
        self._propose = propose

    def __getstate__(self) -> Message:
        """Nothing, as `TuneEvents`."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        return self._propose() or Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: Message | None = None, error: bool = False) -> None:
        """Nothing: the journal has it."""

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a search goes on from its journal")


class SearchEvents(TuneEvents):
    def __init__(self, listener: SearchCallbacks, scheduler: TrialScheduler) -> None:
        super().__init__(listener)
        self._search, self._scheduler = listener, scheduler

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Message, **info: Any) -> None:
        super().on_trial_result(iteration, trials, trial, result, **info)
        if "delivered" in result.get("message", {}):
            _tell(self._scheduler, trial, self._search.curve(trial.config["cell"]))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if "ended" not in (trial.last_result or {}).get("message", {}):
            self._search.given_up(trial.config["cell"])
