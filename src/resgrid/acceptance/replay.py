"""Replays a cell's training at the traced steps, and its evaluation, and compares every bit with the results."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import safetensors.torch
import torch

from resgrid.acceptance.differences import DifferenceFound, compare_files, compare_rows, compare_states
from resgrid.artifacts.cell_files import CellPaths, TrainMetrics
from resgrid.artifacts.data_card import DatasetCard
from resgrid.cells import Cell
from resgrid.config.evaluate import EvaluateParams
from resgrid.config.train import TrainParams
from resgrid.evaluation.evaluate import compute_evaluation
from resgrid.hardware import compute_exactly
from resgrid.training.build import Training, build_training
from resgrid.training.fit import fit, measure, score, write
from resgrid.training.trace import Anchor, StateDigest, Window, read_anchors, read_trace


@dataclass(frozen=True)
class Replayed:
    """What a replay found equal.

    Attributes:
        windows: replayed steps.
        digests: number of tensors that were compared.
        compared: names of outputs that were compared.
    """

    windows: list[Window]
    digests: int
    compared: list[str]


def replay_training(cell: Cell, config: TrainParams, card: DatasetCard, workers: int) -> Replayed:
    """Replay the windows of a cell's trace, then measure the final weights.

    Without anchors, only the first window is replayed, and the weights of the cell's file are measured.

    Raises:
        DifferenceFound: something differs; the message names it.
        OSError: an output of the cell can't be read.
    """
    paths = CellPaths(cell)
    trace = read_trace(paths.trace.read_bytes())
    anchors = read_anchors(paths.anchors.read_bytes())
    windows = [window for window in traced_windows(trace) if window.start == 0 or window.start in anchors]
    with tempfile.TemporaryDirectory() as scratch:
        training = None
        for window in windows:
            training = build_training(cell, config, card, workers)
            _replay_window(training, window, trace, anchors, Path(scratch) / "anchor.ckpt")
            compare_rows("curve.csv", training.curve.csv(), paths.curve.read_bytes())
            compare_rows("gradients.csv", training.gradients.csv(), paths.gradients.read_bytes())
        if training is None or windows[-1].end < config.train.max_steps:
            training = build_training(cell, config, card, workers)
            training.module.network.load_state_dict(safetensors.torch.load_file(paths.weights))
        _compare_final(training, paths, CellPaths(cell, Path(scratch)))
    digests = sum(len(trace[step]) for window in windows for step in range(window.start + 1, window.end + 1))
    return Replayed(windows, digests, ["weights.safetensors", "metrics.json", "curve.csv", "gradients.csv"])


def replay_evaluation(
    cell: Cell, config: EvaluateParams, card: DatasetCard, workers: int, outs: Sequence[str]
) -> Replayed:
    """Evaluate a cell again, and compare the bytes of the outputs.

    Args:
        outs: names of the outputs.

    Raises:
        DifferenceFound: an output differs; the message names it.
    """
    compute_exactly(config.evaluate.threads)
    paths = CellPaths(cell)
    files = compute_evaluation(paths, card, config.evaluate, config.augment, workers).files
    if files.keys() != set(outs):
        raise DifferenceFound(f"{', '.join(sorted(files.keys() ^ set(outs)))}: not written by both")
    for name in outs:
        compare_files(name, files[name], (paths.root / name).read_bytes())
    return Replayed([], 0, list(outs))


def traced_windows(trace: Mapping[int, StateDigest]) -> list[Window]:
    """List the runs of consecutive steps in a trace."""
    windows: list[Window] = []
    for step in sorted(trace):
        if windows and windows[-1].end == step - 1:
            windows[-1] = Window(windows[-1].start, step)
        else:
            windows.append(Window(step - 1, step))
    return windows


class _WindowEnded(Exception):
    """The last step of a window is compared."""


class _Comparison(pl.Callback):
    """Compares the state after each step of a window with the trace, and ends the training after the window."""

    def __init__(self, training: Training, window: Window, trace: Mapping[int, StateDigest]) -> None:
        self.training, self.window, self.trace = training, window, trace

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._compare(trainer.global_step)
        if trainer.global_step == self.window.end:
            raise _WindowEnded

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._compare(trainer.global_step)

    def _compare(self, step: int) -> None:
        if step > self.window.start:
            compare_states(step, self.training.trace.digests.get(step, {}), self.trace.get(step, {}))


def _replay_window(
    training: Training, window: Window, trace: Mapping[int, StateDigest], anchors: Mapping[int, Anchor], file: Path
) -> None:
    if window.start:
        torch.save(checkpoint_of(training, window.start, anchors[window.start]), file)
    training.attach(_Comparison(training, window, trace))
    with suppress(_WindowEnded):
        fit(training, file if window.start else None)


def checkpoint_of(training: Training, step: int, anchor: Anchor) -> dict[str, Any]:
    """Make the checkpoint that Lightning resumes from, out of an anchor.

    Counters, names of parameters and options of the optimizer are those of the present code and packages.
    """
    loop = training.trainer.fit_loop.state_dict()
    done = dict.fromkeys(("ready", "completed", "started", "processed"), step)
    loop["epoch_loop.state_dict"] = {"_batches_that_stepped": step}
    loop["epoch_loop.batch_progress"] |= {"total": done, "current": done}
    optimizer_progress = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]
    for progress in optimizer_progress.values():
        for counters in progress.values():
            counters.update(dict.fromkeys(counters, step))
    begun = {"ready": 1, "completed": 0, "started": 1, "processed": 0}
    loop["epoch_progress"] = {"total": begun, "current": begun}
    tensors = anchor.tensors
    return {
        "epoch": 0,
        "global_step": step,
        "pytorch-lightning_version": version("pytorch-lightning"),
        "state_dict": {name: value for name, value in tensors.items() if name.startswith("network.")},
        "loops": {"fit_loop": loop},
        "optimizer_states": [_optimizer_state(training, tensors)],
        "lr_schedulers": [],
        "resgrid": {
            "learning_rate": anchor.learning_rate,
            "warmup_sums": tensors["sums.warmup_sums"],
            "train_sums": tensors["sums.train_sums"],
        },
    }


def _optimizer_state(training: Training, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    optimizer = training.module.configure_optimizers()
    names = {parameter: name for name, parameter in training.module.network.named_parameters()}
    state: dict[int, dict[str, torch.Tensor]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, parameter in enumerate(parameters):
        suffix = f".{names[parameter]}"
        for name, value in tensors.items():
            key = name.removesuffix(suffix)
            if name.endswith(suffix) and key != "network" and "." not in key:
                # In the weight's memory layout, as the optimizer made it.
                kept = torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
                state.setdefault(index, {})[key] = kept.detach()
    return optimizer.state_dict() | {"state": state}


def _compare_final(training: Training, paths: CellPaths, scratch: CellPaths) -> None:
    """Compare the final weights, and their measurements, with the cell's files."""
    recorded = TrainMetrics.read(paths.metrics)
    curve, selected = training.curve, safetensors.torch.load_file(paths.selected)
    # The choice among all validations is not replayed.
    curve.selected_step, curve.selected_error = recorded.selected_step, recorded.selected_val_error
    curve.selected_weights = selected
    write(training, measure(training, recorded.fingerprint), scratch)
    for path in (paths.weights, paths.selected, paths.metrics):
        compare_files(path.name, (scratch.root / path.name).read_bytes(), path.read_bytes())
    training.module.network.load_state_dict(selected)
    error = score(training, "val").error
    if error != recorded.selected_val_error:
        raise DifferenceFound(
            f"selected.safetensors: validation error {error} instead of {recorded.selected_val_error}"
        )
