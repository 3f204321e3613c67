"""One start of `pipeline.train` in a process of its own, timed by part until its first step is done; `startup.py` runs it.

Usage: python -m benchmarks.startup_probe <network> <seconds since 1970 at which it was started> <forks>

The imports are made in the order in which the stage makes them, each by itself. With forks, the process makes the
imports alone and then starts the stage in so many forked processes, one after another. Prints a JSON list of the
seconds of each part, one mapping for each start.
"""

from __future__ import annotations

import time

STARTED = time.time()

import functools  # noqa: E402 - the time of these imports is a part of what is measured
import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from typing import Any  # noqa: E402


class Parts:
    """Seconds by part of one start, each without the parts inside it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    def add(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        self._inner.append(0.0)
        yield
        whole = time.perf_counter() - began
        self.add(name, whole - self._inner.pop())
        self._inner[-1] += whole

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*arguments: Any, **options: Any) -> Any:
            with self.part(name):
                return function(*arguments, **options)

        return run


def import_all(parts: Parts) -> None:
    """What the stage imports, part by part."""
    with parts.part("import: configuration, terminal"):
        import pipeline.train  # noqa: F401
    with parts.part("import: torch"):
        import torch  # noqa: F401
    with parts.part("import: pytorch_lightning"):
        import pytorch_lightning  # noqa: F401
    with parts.part("import: the rest of training"):
        import resgrid.training.fit  # noqa: F401


def import_tracking() -> None:
    import resgrid.tracking.mlflow_run  # noqa: F401


def start(network: str, parts: Parts, report: Callable[[], None]) -> None:
    """Run the stage; `report` is called after its first step and must end the process."""
    import pipeline.train
    from resgrid.training import fit
    from resgrid.training.module import Classifier

    def open_run(*arguments: Any) -> Any:
        with parts.part("import: mlflow"):
            import_tracking()
        with parts.part("open the MLflow run"):
            return original_start_run(*arguments)

    def first_step_begins(module: Classifier, batch: Any, index: int) -> None:
        parts.add("start of Trainer.fit", time.perf_counter() - clock["fit"])
        original_begin(module, batch, index)
        clock["step"] = time.perf_counter()

    def first_step_ends(module: Classifier, outputs: Any, batch: Any, index: int) -> None:
        original_end(module, outputs, batch, index)
        parts.add("first step", time.perf_counter() - clock["step"])
        report()

    def begin_fit(trainer: Any, *arguments: Any, **options: Any) -> None:
        clock["fit"] = time.perf_counter()
        original_fit(trainer, *arguments, **options)

    clock: dict[str, float] = {}
    original_start_run, original_fit = fit.start_run, fit.pl.Trainer.fit
    original_begin, original_end = Classifier.on_train_batch_start, Classifier.on_train_batch_end
    fit.start_run = open_run
    fit.load_images = parts.timed("open the data", fit.load_images)
    fit.build_network = parts.timed("build the network", fit.build_network)
    fit.pl.Trainer.fit = begin_fit
    fit.pl.Trainer.__init__ = parts.timed("build the trainer", fit.pl.Trainer.__init__)
    Classifier.on_train_batch_start = first_step_begins
    Classifier.on_train_batch_end = first_step_ends
    pipeline.train.train(network, 0)


def start_here(network: str, started: float) -> None:
    """A whole start in this process, from the command on."""
    parts = Parts()
    parts.add("interpreter", STARTED - started)
    import_all(parts)

    def report() -> None:
        parts.add("all", time.time() - started)
        print(json.dumps([parts.seconds]), flush=True)  # noqa: T201 - its standard output is read by startup.py
        os._exit(0)

    start(network, parts, report)


def start_forked(network: str) -> dict[str, float]:
    """A start in a forked process, which finds all imports made."""
    reading, writing = os.pipe()
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        parts = Parts()

        def report() -> None:
            parts.add("all", time.perf_counter() - began)
            os.write(writing, json.dumps(parts.seconds).encode())
            os._exit(0)

        start(network, parts, report)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text)


def main(network: str, started: float, forks: int) -> None:
    if forks == 0:
        start_here(network, started)
    import_all(Parts())
    import_tracking()
    print(json.dumps([start_forked(network) for _ in range(forks)]))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
