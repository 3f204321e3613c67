"""Worker processes that decode image files: how they start and how they end."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from multiprocessing.util import Finalize
from pathlib import Path
from typing import cast

PREFETCHED = 2  # batches that each worker prepares ahead
_SHARED_MEMORY = Path("/dev/shm")


def worker_context(preload: str) -> ForkServerContext:
    """Return a context whose workers are forked from a process that has only imported a module.

    A plain fork would copy a process with threads and open connections (torch, CUDA, MLflow), and a new interpreter
    would import torch for each worker. torch's documentation of distributed training advises the same ("change the
    multiprocessing start method to forkserver").
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    return context


@contextmanager
def lifeline(context: ForkServerContext) -> Iterator[Connection]:
    """Yield a connection for `start_worker` that closes when the block ends or when this process ends in any way.

    Without it, workers would outlive a killed process: torch's own check compares the parent process, which is the fork
    server, and the fork server lives as long as any worker.
    """
    reader, writer = context.Pipe(duplex=False)
    # At exit, close before multiprocessing waits for the workers: a suspended generator does not end its block.
    end = Finalize(None, writer.close, exitpriority=1)
    try:
        yield cast("Connection", reader)
    finally:
        end()
        reader.close()


def check_shared_memory(workers: int, batch_bytes: int) -> None:
    """Refuse workers whose decoded batches do not fit into shared memory; the workers would be killed.

    Raises:
        ValueError: the batches that are prepared ahead need more than is free.
    """
    needed = (workers * PREFETCHED + 1) * batch_bytes
    if workers == 0 or not _SHARED_MEMORY.is_dir() or needed <= (free := shutil.disk_usage(_SHARED_MEMORY).free):
        return
    raise ValueError(
        f"machine.workers: {workers}: decoded batches need {needed / 1e6:,.0f} MB in {_SHARED_MEMORY}, which has "
        f"{free / 1e6:,.0f} MB free; enlarge it (Docker: --shm-size), or set machine.workers to 0"
    )


def start_worker(line: Connection, *_: object) -> None:
    """Initialize a worker: ignore SIGINT and SIGTERM, and leave exiting to the main process.

    Ctrl-C and a preempted node's SIGTERM reach all processes of a job, but a terminated training needs its workers
    until its checkpoint is written.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(line,), daemon=True).start()


def _end_with(line: Connection) -> None:
    wait([line])
    os._exit(0)
