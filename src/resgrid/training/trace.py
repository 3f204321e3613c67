"""The trace of a training: digests of its state after single steps, and anchors from which a replay resumes.

The state of a training after a step is the network's weights and buffers, the optimizer's momentum, and the learning
rate's own state. docs/acceptance.md describes what the trace is for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import safetensors.torch
import torch
from torch import Tensor

from resgrid.training.module import Classifier
from resgrid.training.schedule import LearningRate

FIRST, AROUND, LAST = 20, 10, 10

DIGEST_BYTES = 8


class Window(NamedTuple):
    """Traced steps: those after `start`, up to and including `end`, counted as steps done."""

    start: int
    end: int


class TensorDigest(NamedTuple):
    """A tensor after a step.

    Attributes:
        sha256: the first `DIGEST_BYTES` bytes of the SHA-256 of its values, in hexadecimal digits.
        norm: its Euclidean norm in float64.
    """

    sha256: str
    norm: float


StateDigest = dict[str, TensorDigest]  # by the tensor's name, such as `network.conv1.weight`


@dataclass(frozen=True)
class Anchor:
    """A state from which a replay resumes.

    Attributes:
        tensors: weights, buffers and momentum as in `state_tensors`, and the running sums of `Classifier`.
        learning_rate: state of the learning rate.
    """

    tensors: dict[str, Tensor]
    learning_rate: dict[str, Any]


def windows_around(max_steps: int, changes: Iterable[int]) -> list[Window]:
    """List the windows of a training: its first steps, the steps around each change of the learning rate, the last.

    Args:
        max_steps: steps of the training.
        changes: steps done before a change.
    """
    found = [Window(0, FIRST), *(Window(step - AROUND, step + AROUND) for step in changes)]
    found.append(Window(max_steps - LAST, max_steps))
    return sorted(Window(max(start, 0), min(end, max_steps)) for start, end in found)


def merged(windows: Iterable[Window]) -> list[Window]:
    """Join windows that overlap or touch."""
    result: list[Window] = []
    for window in sorted(windows):
        if result and window.start <= result[-1].end:
            result[-1] = Window(result[-1].start, max(window.end, result[-1].end))
        else:
            result.append(window)
    return result


class TraceRecorder(pl.Callback):
    """Records the digests of the state at each step of the windows, and anchors at their starts.

    Steps before a change that depends on the training error or on validations are recorded before each possible change
    and forgotten if none comes.

    Args:
        learning_rate: of the training.
        max_steps: steps of the training.
        val_every: steps between validations, after which a plateau can lower the learning rate.
        keep_anchors: whether to record anchors.
    """

    def __init__(self, learning_rate: LearningRate, max_steps: int, val_every: int, keep_anchors: bool) -> None:
        self.learning_rate = learning_rate
        self.max_steps, self.val_every, self.keep_anchors = max_steps, val_every, keep_anchors
        self.digests: dict[int, StateDigest] = {}
        self.anchors: dict[int, Anchor] = {}

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # As for checkpoints, a state is complete at the start of the next step: after the validation.
        self._record(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._record(trainer, pl_module)
        windows = merged(self._windows(self.max_steps))
        self.anchors = {window.start: self.anchors[window.start] for window in windows if window.start in self.anchors}

    def _record(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        step = trainer.global_step
        windows = self._windows(step)
        starts = {window.start for window in windows} - {0}
        self.digests = {past: digest for past, digest in self.digests.items() if _is_in(windows, past)}
        self.anchors = {past: anchor for past, anchor in self.anchors.items() if past in starts}
        is_anchor = self.keep_anchors and step in starts
        if is_anchor or _is_in(windows, step):
            tensors = state_tensors(trainer, pl_module)
            if _is_in(windows, step):
                self.digests[step] = digest_state(tensors)
            if is_anchor:
                self.anchors[step] = _anchor(pl_module, tensors)

    def _windows(self, step: int) -> list[Window]:
        """The windows as far as they are known after a step."""
        decision = self.learning_rate.next_decision(step, self.val_every)
        changes = self.learning_rate.changes + ([] if decision is None else [decision])
        return windows_around(self.max_steps, (change for change in changes if change < self.max_steps))

    def state_dict(self) -> dict[str, Any]:
        return {
            "digests": {step: {name: tuple(each) for name, each in row.items()} for step, row in self.digests.items()},
            "anchors": {step: (anchor.tensors, anchor.learning_rate) for step, anchor in self.anchors.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.digests = {
            step: {name: TensorDigest(*each) for name, each in row.items()}
            for step, row in state_dict["digests"].items()
        }
        self.anchors = {step: Anchor(*anchor) for step, anchor in state_dict["anchors"].items()}

    def trace_bytes(self) -> bytes:
        """Return the content of `trace.safetensors`."""
        return trace_bytes(self.digests)

    def anchors_bytes(self) -> bytes:
        """Return the content of `anchors.safetensors`."""
        return anchors_bytes(self.anchors)


def state_tensors(trainer: pl.Trainer, module: Classifier) -> dict[str, Tensor]:
    """Copy weights, buffers and what the optimizer keeps of each weight, such as momentum, to the CPU.

    Returns:
        Tensors in contiguous layout, by names such as `network.conv1.weight` and `momentum_buffer.conv1.weight`.
    """
    tensors = {f"network.{name}": value for name, value in module.network.state_dict().items()}
    state = trainer.optimizers[0].state
    for name, parameter in module.network.named_parameters():
        kept = state.get(parameter, {})
        tensors |= {f"{key}.{name}": kept[key] for key in sorted(kept) if isinstance(kept[key], Tensor)}
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def digest_state(tensors: Mapping[str, Tensor]) -> StateDigest:
    """Digest each tensor of a state."""
    return {name: _digest(tensor) for name, tensor in tensors.items()}


def trace_bytes(digests: Mapping[int, StateDigest]) -> bytes:
    """Format a trace of n steps and t tensors as a safetensors file.

    It contains `steps`, int64 (n,); `sha256`, uint8 (n, t, 8); `norms`, float64 (n, t); and the tensors' names.
    """
    steps = sorted(digests)
    names = list(dict.fromkeys(name for step in steps for name in digests[step]))
    missing = TensorDigest("00" * DIGEST_BYTES, 0.0)
    rows = [[digests[step].get(name, missing) for name in names] for step in steps]
    shape = (len(steps), len(names))
    sha256 = np.frombuffer(bytes.fromhex("".join(each.sha256 for row in rows for each in row)), dtype=np.uint8)
    arrays = {
        "steps": np.array(steps, dtype=np.int64),
        "sha256": sha256.reshape(*shape, DIGEST_BYTES),
        "norms": np.array([each.norm for row in rows for each in row], dtype=np.float64).reshape(shape),
    }
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    return safetensors.torch.save(tensors, metadata={"tensors": json.dumps(names)})


def read_trace(content: bytes) -> dict[int, StateDigest]:
    """Read what `trace_bytes` wrote: the digests of the state after each traced step."""
    tensors = safetensors.torch.load(content)
    names: list[str] = json.loads(_metadata(content)["tensors"])
    digests: dict[int, StateDigest] = {}
    for step, sha256, norms in zip(tensors["steps"].tolist(), tensors["sha256"], tensors["norms"], strict=True):
        texts = [bytes(each.tolist()).hex() for each in sha256]
        digests[step] = {
            name: TensorDigest(text, norm)
            for name, text, norm in zip(names, texts, norms.tolist(), strict=True)
            if int(text, 16)
        }
    return digests


def anchors_bytes(anchors: Mapping[int, Anchor]) -> bytes:
    """Format anchors as a safetensors file: tensors are named `<step>/<name>`."""
    tensors = {f"{step}/{name}": value for step in sorted(anchors) for name, value in anchors[step].tensors.items()}
    rates = {step: anchors[step].learning_rate for step in sorted(anchors)}
    return safetensors.torch.save(tensors, metadata={"learning_rates": json.dumps(rates, sort_keys=True)})


def read_anchors(content: bytes) -> dict[int, Anchor]:
    """Read what `anchors_bytes` wrote: the anchors by their steps."""
    anchors = {int(step): Anchor({}, rate) for step, rate in json.loads(_metadata(content)["learning_rates"]).items()}
    for key, tensor in safetensors.torch.load(content).items():
        step, _, name = key.partition("/")
        anchors[int(step)].tensors[name] = tensor
    return anchors


def _metadata(content: bytes) -> dict[str, str]:
    """The metadata of a safetensors file: its first 8 bytes are the length of its header, which is JSON."""
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]


def _anchor(module: Classifier, state: Mapping[str, Tensor]) -> Anchor:
    """Make an anchor of a state. All ranks must call it: sums are over all ranks."""
    checkpoint: dict[str, Any] = {}
    module.on_save_checkpoint(checkpoint)
    own = checkpoint["resgrid"]
    sums = {f"sums.{name}": own[name] for name in ("warmup_sums", "train_sums")}
    return Anchor({**state, **sums}, own["learning_rate"])


def _digest(tensor: Tensor) -> TensorDigest:
    values = tensor.reshape(-1)
    sha256 = hashlib.sha256(values.view(torch.uint8).numpy().data).hexdigest()[: 2 * DIGEST_BYTES]
    return TensorDigest(sha256, float(torch.linalg.vector_norm(values.double())))


def _is_in(windows: Iterable[Window], step: int) -> bool:
    return any(window.start < step <= window.end for window in windows)
