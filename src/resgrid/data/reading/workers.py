"""Worker processes that decode image files: how they are started, and how they end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.util import Finalize
from typing import cast


def worker_context(preload: str) -> ForkServerContext:
    """Start workers from a process that has made the imports of a module and nothing else.

    A plain fork would copy a process with threads and open connections (torch, CUDA, MLflow), and a fresh interpreter
    would import torch for each worker. For torch's own advice see its documentation of DataLoader and of distributed
    training ("change the multiprocessing start method to forkserver").
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    return context


@contextmanager
def lifeline(context: ForkServerContext) -> Iterator[Connection]:
    """Give what `start_worker` needs: a connection that ends with the block, or with this process however it ends.

    Workers would outlive a killed process without it: torch's own watch asks whether the parent has changed, and the
    parent is the server that forks, which in turn lives as long as one of its workers.
    """
    reader, writer = context.Pipe(duplex=False)
    # At exit before multiprocessing waits for the workers: a suspended generator doesn't end its block by itself.
    end = Finalize(None, writer.close, exitpriority=1)
    try:
        yield cast("Connection", reader)
    finally:
        end()
        reader.close()


def start_worker(line: Connection, *_: object) -> None:
    """In a worker: leave it to the main process when to end.

    Ctrl-C and a preempted node's SIGTERM reach all processes of a job, and a training that is told to end still needs
    its workers until its checkpoint is written.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(line,), daemon=True).start()


def _end_with(line: Connection) -> None:
    wait([line])
    os._exit(0)
