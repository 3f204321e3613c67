"""Worker processes that decode image files: how they are started."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing.context import ForkServerContext


def worker_context(preload: str) -> ForkServerContext:
    """Start workers from a process that has made the imports of a module and nothing else.

    A plain fork would copy a process with threads and open connections (torch, CUDA, MLflow), and a fresh interpreter
    would import torch for each worker. For torch's own advice see its documentation of DataLoader and of distributed
    training ("change the multiprocessing start method to forkserver").
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    return context


def ignore_signals() -> None:
    """In a worker: leave it to the main process when to end.

    Ctrl-C and a preempted node's SIGTERM reach all processes of a job, and a training that is told to end still needs
    its workers until its checkpoint is written.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
