"""Runs replays in parallel, each in a fork of this process, which has made the imports once."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")


def run_in_forks(
    jobs: Sequence[JobT], run: Callable[[JobT], ResultT], processes: int
) -> Iterator[tuple[JobT, ResultT | str]]:
    """Run jobs in parallel, and yield each with its result as it ends, or with the reason why it has none.

    Args:
        run: called in the fork; its result must be picklable.
        processes: number of forks at a time.
    """
    forks = multiprocessing.get_context("fork")
    waiting, running = list(jobs), dict[Any, tuple[JobT, BaseProcess]]()
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                receiver, sender = forks.Pipe(duplex=False)
                process = forks.Process(target=_run_one, args=(run, waiting[0], sender), daemon=True)
                process.start()
                sender.close()
                running[receiver] = waiting.pop(0), process
            ended: list[Any] = wait(list(running))
            for ready in ended:
                job, process = running.pop(ready)
                try:
                    result = ready.recv()
                except EOFError:
                    process.join()
                    result = f"its process ended with {process.exitcode}"
                process.join()
                yield job, result
    finally:
        for _, process in running.values():
            process.terminate()


def _run_one(run: Callable[[JobT], ResultT], job: JobT, sender: Connection) -> None:
    """Send the result or the error, and exit without Python's teardown, which takes longer than a short replay."""
    try:
        sender.send(run(job))
    except Exception as error:  # whatever the changed code does, the other replays go on
        place = traceback.extract_tb(error.__traceback__)[-1]
        sender.send(f"{type(error).__name__}: {error} ({os.path.relpath(place.filename)}:{place.lineno})")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
