"""Checkpoints for going on after a kill: outside DVC's outs, keyed by the cell's fingerprint, whole or ignored.

DVC deletes the outs of a stage before it runs it, so what must survive lies in the state folder. A checkpoint counts
only with its seal, a small file written after it that holds its SHA-256 and the versions it was computed with.
"""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed

from resgrid.artifacts.files import sha256_of_file, state_folder, write_atomically
from resgrid.cells import Cell
from resgrid.terminal import console

KEPT = 2

# Steps between two agreements of the ranks on whether one of them was told to end: asking costs a wait for the device.
AGREE_EVERY = 16


class TerminationRequested(Exception):
    """A process of the training got SIGTERM (a preempted node, a stopped job); a checkpoint is written."""


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one cell.

    Attributes:
        folder: of this cell and fingerprint.
        conditions: what must be equal to go on bit for bit: versions, precision, number of devices.
    """

    folder: Path
    conditions: dict[str, str]

    @classmethod
    def of(cls, cell: Cell, fingerprint: str, conditions: dict[str, str]) -> Checkpoints:
        return cls(state_folder() / "checkpoints" / f"{cell.name}-{fingerprint[:16]}", conditions)

    def latest(self) -> Path | None:
        """The newest checkpoint that is whole and fits; the reason is printed for each that isn't or doesn't."""
        for path in sorted(self.folder.glob("step-*.ckpt"), reverse=True):
            problem = self._problem(path)
            if problem is None:
                return path
            console.print(f"ignoring the checkpoint {path}: {problem}", markup=False)
        return None

    def _problem(self, path: Path) -> str | None:
        try:
            seal = json.loads(_seal_of(path).read_bytes())
        except (OSError, ValueError):
            return "it has no seal: its writing was cut off"
        if seal["sha256"] != sha256_of_file(path):
            return "its content is not what was sealed: it is torn"
        for name, value in self.conditions.items():
            if seal["conditions"].get(name) != value:
                return f"it was computed with {name} {seal['conditions'].get(name)}, this run has {value}"
        return None

    def seal(self, partial: Path, step: int) -> None:
        """Make a written checkpoint count, and drop all but the last two."""
        path = self.folder / f"step-{step:08d}.ckpt"
        seal: dict[str, Any] = {"sha256": sha256_of_file(partial), "conditions": self.conditions}
        partial.replace(path)
        write_atomically(_seal_of(path), json.dumps(seal, indent=2).encode())
        for old in sorted(self.folder.glob("step-*.ckpt"))[:-KEPT]:
            _seal_of(old).unlink(missing_ok=True)
            old.unlink()

    def delete(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _seal_of(path: Path) -> Path:
    return path.with_suffix(".seal.json")


class SaveForResuming(pl.Callback):
    """Saves a checkpoint every `every` steps, and when a process of the training is told to end (SIGTERM).

    Lightning's own handling of SIGTERM hangs when several ranks get the signal at once: its handler broadcasts,
    whatever else the ranks are exchanging at that moment. Here a handler only notes the signal.
    """

    def __init__(self, checkpoints: Checkpoints, every: int) -> None:
        self.checkpoints = checkpoints
        self.every = every
        self.resumed_from: list[int] = []
        self._saved_at = 0
        self._told_to_end = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self.checkpoints.folder.mkdir(parents=True, exist_ok=True)
        if trainer.global_step:
            self.resumed_from.append(trainer.global_step)
            self._saved_at = trainer.global_step
        # Lightning has put its handler in place by now, and puts back the one before it at the end.
        signal.signal(signal.SIGTERM, self._note_signal)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # At the start of a step, not at its end: only then are the step before and its validation complete in
        # Lightning's own counters, and a resumed run neither repeats nor skips a validation.
        step = trainer.global_step
        told_to_end = self._anyone_told_to_end(trainer)
        if (told_to_end or step % self.every == 0) and step > self._saved_at:
            self._save(trainer)
        if told_to_end:
            raise TerminationRequested(f"told to end at step {step}")

    def _note_signal(self, signum: int, frame: object) -> None:
        self._told_to_end = True

    def _anyone_told_to_end(self, trainer: pl.Trainer) -> bool:
        """The same answer on every rank, so that all of them save the same step."""
        if trainer.world_size == 1:
            return self._told_to_end
        if trainer.global_step % AGREE_EVERY:
            return False
        told = torch.tensor(float(self._told_to_end), device=trainer.strategy.root_device)
        torch.distributed.all_reduce(told)
        return bool(told.item())

    def state_dict(self) -> dict[str, Any]:
        return {"resumed_from": self.resumed_from}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.resumed_from = list(state_dict["resumed_from"])

    def _save(self, trainer: pl.Trainer) -> None:
        step = self._saved_at = trainer.global_step
        partial = self.checkpoints.folder / "partial.tmp"
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            self.checkpoints.seal(partial, step)
