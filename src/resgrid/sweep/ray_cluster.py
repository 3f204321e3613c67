"""Ray Tune as the scheduler: one trial for each cell, its resources, its retries, and an end on request."""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from resgrid.config.sweep import SweepConfig

# Read by Ray when it is imported or started: quiet, no reports to its makers, no change of the working folder.
os.environ.update(
    RAY_AIR_NEW_OUTPUT="0",
    RAY_CHDIR_TO_TRIAL_DIR="0",
    RAY_DEDUP_LOGS="0",
    RAY_USAGE_STATS_ENABLED="0",
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    TUNE_DISABLE_SIGINT_HANDLER="1",
)

import ray
from ray import cloudpickle, tune
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from resgrid.sweep import cell_runner, file_server

Message = dict[str, Any]


class ClusterError(ValueError):
    """There is no such cluster, or it can't run a cell; the message says why."""


@dataclass(frozen=True)
class Callbacks:
    """Whom the driver tells what happens, in Tune's own thread: answer at once."""

    started: Callable[[str], None]
    heard: Callable[[str, Message], None]
    failed: Callable[[str, str, bool], None]


@contextmanager
def cluster(config: SweepConfig) -> Iterator[dict[str, float]]:
    """Be connected to the Ray cluster of the configuration; a local one ends with the block.

    Yields:
        The cluster's resources, such as `{"CPU": 8.0, "GPU": 1.0}`.

    Raises:
        ClusterError: it can't be reached, or no node has what one cell needs.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # it prints a traceback for each failed cell
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    try:
        ray.init(
            address=config.address,
            namespace="resgrid",
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if config.address == "local" else None,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(f"sweep.address: {config.address!r}: no Ray cluster there ({_first_line(error)})") from None
    try:
        wanted = {"CPU": float(config.resources.cpus), "GPU": config.resources.gpus}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(node.get(name, 0.0) >= count for name, count in wanted.items()) for node in nodes):
            has = "; ".join(f"{node.get('CPU', 0):g} CPU, {node.get('GPU', 0):g} GPU" for node in nodes)
            raise ClusterError(
                f"sweep.resources: cpus {wanted['CPU']:g}, gpus {wanted['GPU']:g}: no node has that; "
                f"the nodes have {has}"
            )
        yield {name: float(count) for name, count in ray.cluster_resources().items()}
    finally:
        ray.shutdown()


def run_cells(
    jobs: dict[str, Message],
    sweep: Message,
    config: SweepConfig,
    storage: Path,
    listener: Callbacks,
) -> None:
    """Run the cells' jobs, in their order as far as the resources allow, until all have ended.

    The first Ctrl-C (or SIGTERM) has the running cells save a checkpoint and end, and starts none of the others; the
    second one kills them.

    Args:
        jobs: by cell: the snapshots of its stages, as `node.run_cell` takes them.
        sweep: what is common to all of them.
        storage: an absolute folder for Tune's own files.
    """
    file_server = start_file_server(sweep, jobs)
    run_cell, common = cell_runner.run_cell, ray.put(sweep)

    def train_one_cell(trial: Message) -> None:
        name, given = trial["cell"], cast("Message", ray.get(common))
        job = cast("Message", ray.get(file_server.job.remote(name)))
        run_cell(
            job | {"cell": name, "saved_as": name, "state": given["state"], "sweep": given}, file_server, tune.report
        )

    resources = tune.PlacementGroupFactory([{"CPU": float(config.resources.cpus), "GPU": config.resources.gpus}])
    tuner = tune.Tuner(
        tune.with_resources(train_one_cell, resources),
        param_space={"cell": tune.grid_search(list(jobs))},
        # Reusing a worker saves its start of about two seconds, and keeps its supervisor's imports.
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=str(storage),
            failure_config=tune.FailureConfig(max_failures=config.max_failures),
            callbacks=[TuneEvents(listener)],
            verbose=0,
        ),
    )
    with stop_on_signals(file_server):
        tuner.fit()
    clear_nodes(sweep)


def clear_nodes(common: Message) -> None:
    """Have the nodes delete what was sent to them."""
    clear = ray.remote(num_cpus=0, max_retries=0)(cell_runner.clear)
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    there = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
    done = [clear.options(scheduling_strategy=place).remote(common["token"]) for place in there]
    # A node that died has nothing left to delete.
    ray.wait(done, num_returns=len(done), timeout=30)


def start_file_server(common: Message, jobs: dict[str, Message]) -> Any:
    """The file_server beside this driver, as an actor; and what goes to the nodes is ready to go.

    Args:
        common: what is common to all cells.
        jobs: by cell, what the nodes ask for when they begin it. Each of Tune's trials unpacks the function that it
            runs anew, so what is in that function costs the square of the cells.
    """
    # Nodes have the packages, but not this repository: these modules go with the function that uses them.
    cloudpickle.register_pickle_by_value(cell_runner)
    cloudpickle.register_pickle_by_value(file_server)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return (
        ray.remote(file_server.FileServer)
        .options(num_cpus=0, max_concurrency=16, scheduling_strategy=here)
        .remote([*common["readable"], common["area"], common["state"]], common["area"], common["state"], jobs)
    )


class TuneEvents(tune.Callback):
    """Passes on what Tune tells of its trials."""

    def __init__(self, listener: Callbacks) -> None:
        self._listener = listener

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune saves itself with its callbacks, to be restored; resgrid goes on from DVC's state instead."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._listener.started(trial.config["cell"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Message, **info: Any) -> None:
        self._listener.heard(trial.config["cell"], result)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._listener.failed(trial.config["cell"], _reason(trial), False)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._listener.failed(trial.config["cell"], _reason(trial), True)


def _reason(trial: Any) -> str:
    """Why a trial failed, in a line."""
    if trial.error_file and Path(trial.error_file).exists():
        lines = [line for line in Path(trial.error_file).read_text(encoding="utf-8").splitlines() if line.strip()]
        for line in reversed(lines):
            name, _, message = line.partition(": ")
            if name.rpartition(".")[2] in ("CellFailedError", "OSError", "PermissionError", "FileNotFoundError"):
                return message
        for line in lines:
            if "died" in line or "Died" in line:
                return "its Ray worker or node died"
        return lines[-1] if lines else "unknown"
    return "its Ray worker or node died"


@contextmanager
def stop_on_signals(file_server: Any) -> Iterator[None]:
    wishes: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    told: list[str] = []

    def note(signum: int, frame: object) -> None:
        wish = "kill" if told else "stop"
        told.append(wish)
        wishes.put(wish)

    def pass_on() -> None:
        # Not in the handler itself: it interrupts whatever Ray is doing at that moment.
        while (wish := wishes.get()) is not None:
            ray.get(file_server.want.remote(wish))

    thread = threading.Thread(target=pass_on, name="wishes", daemon=True)
    thread.start()
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        wishes.put(None)
        thread.join()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
