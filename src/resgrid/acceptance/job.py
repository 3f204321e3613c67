"""One replay, in its own process: whether it can be compared here, and its outcome."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from resgrid.acceptance.differences import DifferenceFound
from resgrid.acceptance.outcome import Outcome
from resgrid.acceptance.replay import replay_evaluation, replay_training
from resgrid.artifacts.cell_files import CellPaths, TrainMetrics
from resgrid.artifacts.data_card import DatasetCard
from resgrid.artifacts.run_record import StageRecord
from resgrid.cells import Cell
from resgrid.config.evaluate import EvaluateParams
from resgrid.config.reading import load_params
from resgrid.config.train import TrainParams
from resgrid.config.whole import Config
from resgrid.hardware import count_cores, count_devices
from resgrid.sweep.graph import TRAIN
from resgrid.tracking.lineage import describe_hardware
from resgrid.tracking.records import read_record


def processes(config: Config) -> int:
    """Return the number of replays at a time: on CPUs, as many as have cores; on GPUs, one."""
    if torch.cuda.device_count():
        return 1
    return max(1, count_cores() // max(config.train.threads, config.evaluate.threads))


def replay(group: str, cell: Cell, config: Config, card: DatasetCard, outs: Sequence[str]) -> Outcome:
    """Replay a pipeline stage of a cell, and compare it with the cell's files.

    Args:
        group: `train` or `evaluate`.
        outs: names of the stage's outputs.
    """
    record = read_record(cell, TrainMetrics.read(CellPaths(cell).metrics).fingerprint)
    computed = getattr(record, group, None)
    hardware = describe_hardware()
    if problem := _problem(computed, hardware) or _several_processes(group, config):
        return Outcome("not comparable", problem, hardware)
    try:
        if group == TRAIN:
            found = replay_training(cell, load_params(TrainParams), card, config.machine.workers)
        else:
            found = replay_evaluation(cell, load_params(EvaluateParams), card, config.machine.workers, outs)
    except DifferenceFound as difference:
        doubt = "" if computed else " (no run record names the processor of the results; it may be another)"
        return Outcome("different", f"{difference}{doubt}", hardware)
    windows = tuple((window.start + 1, window.end) for window in found.windows)
    return Outcome("equal", "", hardware, windows, found.digests, tuple(found.compared))


def _problem(computed: StageRecord | None, hardware: str) -> str | None:
    """Why the hardware of this machine does not repeat the bits of an execution; None if it may."""
    if computed is None or _kind(computed.hardware) == _kind(hardware):
        return None
    return f"computed on {_kind(computed.hardware)}, this machine has {_kind(hardware)}"


def _kind(hardware: str) -> str:
    """The name of a processor without its number of cores."""
    return hardware.partition(", ")[0]


def _several_processes(group: str, config: Config) -> str | None:
    count = count_devices(config.train) * config.train.num_nodes
    if group != TRAIN or count == 1:
        return None
    return f"trained by {count} processes; only trainings with one process are replayed"
