"""The connection to a Ray cluster that sweeps and searches share: start, file server, termination and Tune's events."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from resgrid.config.sweep import SweepConfig

# Ray reads these when it is imported or started: print less, send no usage statistics, keep the working directory.
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
    """The Ray cluster can't be reached or can't run a cell."""


class Callbacks(Protocol):
    """Callbacks on Tune's thread; they must return at once."""

    def started(self, cell: str) -> None: ...

    def reported(self, cell: str, message: Message) -> None: ...

    def failed(self, cell: str, reason: str, is_last: bool) -> None: ...


@contextmanager
def cluster(config: SweepConfig, processes: int) -> Iterator[tuple[dict[str, float], SweepConfig]]:
    """Connect to the Ray cluster of the configuration; a local cluster ends with the block.

    Args:
        processes: of each cell.

    Yields:
        The cluster's resources, such as `{"CPU": 8.0, "GPU": 1.0}`, and the configuration with a number for
        `resources.gpus: auto`.

    Raises:
        ClusterError: the cluster can't be reached, or no node has the resources of one cell.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # it prints a traceback for each failed cell
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    _make_token_private(config)
    try:
        ray.init(
            address=config.address,
            namespace="resgrid",
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False if config.address == "local" else None,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if config.address == "local":
            raise ClusterError(f"Ray can't start here ({reason}); `make run SERIAL=1` runs without it") from None
        raise ClusterError(f"sweep.address: {config.address!r}: {reason}; start a Ray cluster there") from None
    try:
        total = {name: float(count) for name, count in ray.cluster_resources().items()}
        resources = config.resources.with_number_of_gpus(processes if total.get("GPU") else 0)
        wanted = resources.for_ray()
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(node.get(name, 0.0) >= count for name, count in wanted.items()) for node in nodes):
            has = ", ".join(f"{node.get('CPU', 0):g} CPU and {node.get('GPU', 0):g} GPU" for node in nodes)
            raise ClusterError(
                f"sweep.resources: cpus {wanted['CPU']:g}, gpus {wanted['GPU']:g}: no node has that; "
                f"use at most what one node has: {has}"
            )
        yield total, config.model_copy(update={"resources": resources})
    finally:
        ray.shutdown()


def _make_token_private(config: SweepConfig) -> None:
    """Make Ray's token unreadable for others, who could run code in the cluster with it.

    Raises:
        ClusterError: others can read the token, and this user can't change that.
    """
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray/auth_token")
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_mode & 0o077:
            try:
                path.chmod(0o600)
            except PermissionError:
                raise ClusterError(
                    f"{path}: other users can read Ray's token; make it private with chmod 600"
                ) from None
        return
    if config.address == "local":  # Ray would make a token that all users of this machine can read
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(secrets.token_hex(32))


def start_file_server(settings: Message, jobs: dict[str, list[Message]]) -> Any:
    """Start the file server next to this driver, as an actor.

    Args:
        settings: made by `jobs.settings_of_all`.
        jobs: the jobs of each cell's stages. Nodes ask for them: each of Tune's trials unpacks the function that it
            runs, so with the jobs in that function the cost would grow with the square of the number of cells.
    """
    # Nodes have the packages, but not this repository: these modules go with the functions that use them.
    cloudpickle.register_pickle_by_value(cell_runner)
    cloudpickle.register_pickle_by_value(file_server)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    work, state = settings["work"], settings["state"]
    return (
        ray.remote(file_server.FileServer)
        .options(num_cpus=0, max_concurrency=16, scheduling_strategy=here)
        .remote([*settings["readable"], work, state], work, state, jobs)
    )


def run_on_tune(
    function: Callable[[Message], None],
    config: SweepConfig,
    settings: Message,
    callback: TuneEvents,
    param_space: Message | None = None,
    **options: Any,
) -> None:
    """Run a function as Tune's trainable until all trials have ended, then delete what was sent to the nodes.

    The first Ctrl-C (or SIGTERM) makes running cells save a checkpoint and exit, and no other cell starts; the second
    kills them.

    Args:
        config: as `cluster` yields it.
        options: of `tune.TuneConfig`.
    """
    work = Path(settings["work"])
    resources = tune.PlacementGroupFactory([config.resources.for_ray()])
    tuner = tune.Tuner(
        tune.with_resources(function, resources),
        param_space=param_space,
        # Reusing a worker saves its start of about two seconds, and keeps its supervisor's imports.
        tune_config=tune.TuneConfig(reuse_actors=True, **options),
        run_config=tune.RunConfig(
            name="cells",
            storage_path=str(work / "tune"),
            failure_config=tune.FailureConfig(max_failures=config.max_failures),
            callbacks=[callback],
            verbose=0,
        ),
    )
    with _terminating_on_signals(work):
        tuner.fit()
    clear = ray.remote(num_cpus=0, max_retries=0)(cell_runner.clear)
    nodes = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in ray.nodes() if node["Alive"]]
    done = [clear.options(scheduling_strategy=node).remote(settings["token"]) for node in nodes]
    ray.wait(done, num_returns=len(done), timeout=30)  # a node that died meanwhile never answers


class TuneEvents(tune.Callback):
    """Calls the callbacks on Tune's events."""

    def __init__(self, callbacks: Callbacks) -> None:
        self._callbacks = callbacks

    def __getstate__(self) -> Message:
        """Return nothing: Tune saves its callbacks to restore them, but resgrid resumes from DVC's state."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._callbacks.started(trial.config["cell"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Message, **info: Any) -> None:
        self._callbacks.reported(trial.config["cell"], result)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._callbacks.failed(trial.config["cell"], _reason(trial), False)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._callbacks.failed(trial.config["cell"], _reason(trial), True)


def _reason(trial: Any) -> str:
    """Why a trial failed, in one line."""
    if trial.error_file and Path(trial.error_file).exists():
        lines = [line for line in Path(trial.error_file).read_text(encoding="utf-8").splitlines() if line.strip()]
        for line in reversed(lines):
            name, _, message = line.partition(": ")
            if name.rpartition(".")[2] in ("CellFailedError", "OSError", "PermissionError", "FileNotFoundError"):
                return message
        if any("running low on memory" in line for line in lines):
            return "its node ran out of memory; raise sweep.resources.cpus to run fewer cells in parallel"
        if lines and not any("died" in line.lower() for line in lines):
            return lines[-1]
    return "its Ray worker or node died"


@contextmanager
def _terminating_on_signals(work: Path) -> Iterator[None]:
    """Request termination at SIGINT and SIGTERM, and at the next signal a kill.

    Requests are files, which the file server looks for: a signal handler must not call Ray, which it may interrupt.
    """

    def request(signum: int, frame: object) -> None:
        (work / ("kill" if (work / "terminate").exists() else "terminate")).touch()

    for name in ("terminate", "kill"):
        (work / name).unlink(missing_ok=True)
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
