"""Windows, digests and anchors of a training: exact values, and the same bytes after a resume."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from resgrid.config.train import OptimizerConfig, PlateauConfig, ScheduleConfig, WarmupConfig
from resgrid.training.resume import Checkpoints, SaveForResuming
from resgrid.training.schedule import LearningRate
from resgrid.training.trace import (
    Anchor,
    TensorDigest,
    TraceRecorder,
    Window,
    anchors_bytes,
    digest_state,
    merged,
    read_anchors,
    read_trace,
    trace_bytes,
    windows_around,
)
from training.test_all_networks import build_classifier, train

SGD = OptimizerConfig(lr=0.1, momentum=0.9, weight_decay=1e-4)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable"),
]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from threads, which wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_windows_of_the_paper_s_schedule() -> None:
    windows = merged(windows_around(64_000, [32_000, 48_000]))
    assert windows == [Window(0, 20), Window(31_990, 32_010), Window(47_990, 48_010), Window(63_990, 64_000)]
    assert sum(window.end - window.start for window in windows) == 70


def test_windows_that_touch_are_joined_and_none_leaves_the_training() -> None:
    assert merged(windows_around(40, [20, 30])) == [Window(0, 40)]
    assert merged(windows_around(100, [35, 55])) == [Window(0, 20), Window(25, 65), Window(90, 100)]
    assert merged(windows_around(5, [])) == [Window(0, 5)]


def test_next_decisions() -> None:
    warmup = WarmupConfig(from_depth=8, lr=0.01, until_train_error=80, window=50)
    rate = LearningRate(SGD, ScheduleConfig(milestones=[], gamma=0.1, warmup=warmup), depth=110)
    assert [rate.next_decision(step, 1000) for step in (0, 49, 50, 51)] == [50, 50, 100, 100]
    rate.observe_training(50, train_error=10)
    assert rate.next_decision(50, 1000) is None
    assert rate.changes == [50]
    plateau = ScheduleConfig(milestones=[], gamma=0.1, plateau=PlateauConfig(patience=1, min_change=0))
    assert LearningRate(SGD, plateau, depth=8).next_decision(999, 500) == 1000


def test_a_digest_is_the_sha256_of_the_values() -> None:
    content = struct.pack("<2f", 3, -4)
    digests = digest_state({"a": torch.tensor([[3.0], [-4.0]]), "b": torch.tensor(7)})
    assert digests == {
        "a": TensorDigest(hashlib.sha256(content).hexdigest()[:16], 5.0),
        "b": TensorDigest(hashlib.sha256(struct.pack("<q", 7)).hexdigest()[:16], 7.0),
    }


def test_a_trace_and_anchors_are_read_as_they_were_written() -> None:
    trace = {
        3: {"a": TensorDigest("0123456789abcdef", 0.1), "b": TensorDigest("f" * 16, 2.0)},
        4: {"a": TensorDigest("00000000000000ff", float("nan"))},
    }
    assert str(read_trace(trace_bytes(trace))) == str(trace)
    assert read_trace(trace_bytes({})) == {}
    anchors = {7: Anchor({"a": torch.arange(3.0)}, {"lowest_error": float("inf"), "milestones": [5]})}
    read = read_anchors(anchors_bytes(anchors))
    assert read[7].learning_rate == anchors[7].learning_rate
    assert torch.equal(read[7].tensors["a"], torch.arange(3.0))
    assert read_anchors(anchors_bytes({})) == {}


def test_a_resumed_run_has_the_same_trace_and_anchors(tmp_path: Path) -> None:
    def run(checkpoint: Path | None) -> TraceRecorder:
        module = build_classifier("plain8")
        module.learning_rate.milestones = [40, 60]
        recorder = TraceRecorder(module.learning_rate, 80, 80, keep_anchors=True)
        train(module, 80, [recorder, SaveForResuming(checkpoints, every=35)], checkpoint)
        return recorder

    checkpoints = Checkpoints(tmp_path, conditions={})
    whole = run(None)
    assert list(whole.digests) == [*range(1, 21), *range(31, 81)]
    assert list(whole.anchors) == [30]
    assert len(whole.digests[1]) == 67  # 23 weights, 21 buffers of 7 norms, 23 momenta
    (tmp_path / "step-00000070.seal.json").unlink()
    resumed = run(checkpoints.latest()[0])
    assert resumed.trace_bytes() == whole.trace_bytes()
    assert resumed.anchors_bytes() == whole.anchors_bytes()


def test_steps_before_a_plateau_are_kept_and_those_before_other_validations_forgotten() -> None:
    module = build_classifier("plain8")
    schedule = ScheduleConfig(milestones=[], gamma=0.1, plateau=PlateauConfig(patience=1, min_change=99))
    module.learning_rate = LearningRate(SGD, schedule, depth=8)
    recorder = TraceRecorder(module.learning_rate, 100, 100, keep_anchors=True)
    recorder.val_every = 40
    decisions = {40: 50.0, 80: 50.0}

    class Validation(pl.Callback):
        """Reports the errors of validations before the recorder's hook runs."""

        def on_train_batch_start(
            self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
        ) -> None:
            if trainer.global_step in decisions:
                module.learning_rate.observe_validation(trainer.global_step, decisions[trainer.global_step])

    train(module, 100, [Validation(), recorder])
    assert module.learning_rate.milestones[0] == 80
    assert list(recorder.digests) == [*range(1, 21), *range(71, 101)]
    assert list(recorder.anchors) == [70]
