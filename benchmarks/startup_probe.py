"""Program for `startup.py`: start `pipeline.train` and time each part until the first step is done.

Usage: python -m benchmarks.startup_probe <network> <seconds since 1970 at which it was started> <forks>

The imports are made in the stage's order and timed separately. With forks, the process only makes the imports, and then
starts the stage in that many forked processes, one after another. The program prints a JSON list with the seconds of
each part, one mapping for each start.
"""

from __future__ import annotations

import time

STARTED = time.time()

import functools  # noqa: E402 - the time of these imports is measured
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from typing import Any  # noqa: E402


class Parts:
    """Seconds of the parts of one start. The time of a part within another part counts only for the inner part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]
        self._marks: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        self._inner.append(0.0)
        yield
        whole = time.perf_counter() - began
        self.seconds[name] = self.seconds.get(name, 0.0) + whole - self._inner.pop()
        self._inner[-1] += whole

    def begin(self, name: str) -> None:
        """Begin a part that `end` ends."""
        self._marks[name] = time.perf_counter()

    def end(self, name: str) -> None:
        self.seconds[name] = time.perf_counter() - self._marks[name]

    def time_calls(self, owner: object, function: str, name: str) -> None:
        """Time the calls of a function, an attribute of `owner`, as a part."""
        original = getattr(owner, function)

        @functools.wraps(original)
        def timed(*arguments: Any, **options: Any) -> Any:
            with self.part(name):
                return original(*arguments, **options)

        setattr(owner, function, timed)


def call_before(owner: object, function: str, action: Callable[[], None]) -> None:
    """Call `action` before each call of a function, an attribute of `owner`."""
    original = getattr(owner, function)

    @functools.wraps(original)
    def both(*arguments: Any, **options: Any) -> Any:
        action()
        return original(*arguments, **options)

    setattr(owner, function, both)


def import_training(parts: Parts) -> None:
    """Import what the stage imports before it begins, part by part."""
    with parts.part("import: configuration, terminal"):
        import pipeline.train  # noqa: F401
    with parts.part("import: torch"):
        import torch  # noqa: F401
    with parts.part("import: pytorch_lightning"):
        import pytorch_lightning  # noqa: F401
    with parts.part("import: the rest of training"):
        import resgrid.training.fit  # noqa: F401


def import_tracking(parts: Parts) -> None:
    """Import what the stage imports when it opens its run; mlflow itself imports the SQL store."""
    with parts.part("import: mlflow"):
        import resgrid.tracking.mlflow_run  # noqa: F401
    with parts.part("import: mlflow's SQL store"):
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def start(network: str, parts: Parts, report: Callable[[], None]) -> None:
    """Run the stage; `report` is called after its first step and must end the process."""
    import pipeline.train
    from resgrid.tracking import records as tracking
    from resgrid.training import build
    from resgrid.training.module import Classifier
    from resgrid.training.progress import ProgressLine

    def first_step_begins() -> None:
        parts.end("start of Trainer.fit")
        parts.begin("first step")

    def first_step_ends() -> None:
        parts.end("first step")
        report()

    parts.time_calls(build, "load_images", "open the data")
    parts.time_calls(build, "build_network", "build the network")
    parts.time_calls(build.pl.Trainer, "__init__", "build the trainer")
    call_before(tracking, "start_run", lambda: import_tracking(parts))
    parts.time_calls(tracking, "start_run", "open the MLflow run")
    call_before(build.pl.Trainer, "fit", lambda: parts.begin("start of Trainer.fit"))
    call_before(Classifier, "on_train_batch_start", first_step_begins)
    call_before(ProgressLine, "on_train_batch_end", first_step_ends)
    pipeline.train.train(network, 0)


def start_here(network: str, started: float) -> None:
    """Time a whole start in this process, from the command on."""
    parts = Parts()
    parts.seconds["interpreter"] = STARTED - started
    import_training(parts)

    def report() -> None:
        parts.seconds["all"] = time.time() - started
        print(json.dumps([parts.seconds]), flush=True)  # noqa: T201 - startup.py reads it
        os._exit(0)

    start(network, parts, report)


def start_forked(network: str) -> dict[str, float]:
    """Time a start in a forked process, where all imports are already made."""
    reading, writing = os.pipe()
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        parts = Parts()

        def report() -> None:
            parts.seconds["all"] = time.perf_counter() - began
            os.write(writing, json.dumps(parts.seconds).encode())
            os._exit(0)

        start(network, parts, report)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text)


def main(network: str, started: float, forks: int) -> None:
    """Run the requested starts; see the module's docstring."""
    if forks == 0:
        start_here(network, started)
    imports = Parts()
    import_training(imports)
    import_tracking(imports)
    print(json.dumps([start_forked(network) for _ in range(forks)]))  # noqa: T201 - startup.py reads it


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
