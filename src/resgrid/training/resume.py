"""Checkpoints from which a killed training resumes with identical weights.

DVC deletes the outputs of a stage before the stage runs, so checkpoints are in the state folder, in a folder for each
cell and fingerprint. A checkpoint is used only if its checksum file, which is written after it, matches.
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

KEPT = 2

# Steps between cross-rank checks for SIGTERM: each check waits for the device.
CHECK_EVERY = 16


class TerminationRequested(Exception):
    """A process of the training got SIGTERM (preempted node, stopped job), and a checkpoint is written."""


@dataclass(frozen=True)
class UnusableCheckpoint:
    """A checkpoint that can't be used, and the reason.

    Attributes:
        path: the checkpoint.
        difference: `checksum file` if that file is missing or damaged, `SHA-256` if the checkpoint is damaged, or the
            name of a condition that differs.
        found: the value with which the checkpoint was computed.
        expected: the value of this run.
    """

    path: Path
    difference: str
    found: str | None = None
    expected: str | None = None


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one cell.

    Attributes:
        folder: their folder, for this cell and fingerprint.
        conditions: what must be equal to resume bit for bit: versions, precision, number of processes, device.
    """

    folder: Path
    conditions: dict[str, str]

    @classmethod
    def of(cls, cell: Cell, fingerprint: str, conditions: dict[str, str]) -> Checkpoints:
        """Return the checkpoints of a cell in the state folder; none need exist."""
        return cls(state_folder() / "checkpoints" / f"{cell.name}-{fingerprint[:16]}", conditions)

    def latest(self) -> tuple[Path | None, list[UnusableCheckpoint]]:
        """Return the newest usable checkpoint, if any, and all newer checkpoints, which are unusable."""
        unusable: list[UnusableCheckpoint] = []
        for path in sorted(self.folder.glob("step-*.ckpt"), reverse=True):
            problem = self._problem(path)
            if problem is None:
                return path, unusable
            unusable.append(problem)
        return None, unusable

    def _problem(self, path: Path) -> UnusableCheckpoint | None:
        try:
            checksum = json.loads(_checksum_file(path).read_bytes())
        except (OSError, ValueError):
            return UnusableCheckpoint(path, "checksum file")
        if checksum["sha256"] != sha256_of_file(path):
            return UnusableCheckpoint(path, "SHA-256")
        for name, value in self.conditions.items():
            found = checksum["conditions"].get(name)
            if found != value:
                return UnusableCheckpoint(path, name, found, value)
        return None

    def add(self, partial: Path, step: int) -> None:
        """Move a written checkpoint to its path, write its checksum file, and delete all but the newest `KEPT`."""
        path = self.folder / f"step-{step:08d}.ckpt"
        checksum: dict[str, Any] = {"sha256": sha256_of_file(partial), "conditions": self.conditions}
        partial.replace(path)
        write_atomically(_checksum_file(path), json.dumps(checksum, indent=2).encode())
        for old in sorted(self.folder.glob("step-*.ckpt"))[:-KEPT]:
            _checksum_file(old).unlink(missing_ok=True)
            old.unlink()

    def delete(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _checksum_file(path: Path) -> Path:
    return path.with_suffix(".seal.json")


class SaveForResuming(pl.Callback):
    """Saves a checkpoint every `every` steps, and once more when a process of the training gets SIGTERM.

    Lightning's own handler broadcasts when the signal arrives, which hangs if several ranks get the signal during
    another collective operation. This handler only sets a flag.
    """

    def __init__(self, checkpoints: Checkpoints, every: int) -> None:
        self.checkpoints = checkpoints
        self.every = every
        self.resumed_from: list[int] = []
        self._saved_at = 0
        self._terminate = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            self.checkpoints.folder.mkdir(parents=True, exist_ok=True)
        if trainer.global_step:
            self.resumed_from.append(trainer.global_step)
            self._saved_at = trainer.global_step
        # By now Lightning has installed its handler, and it restores the previous handler at the end.
        signal.signal(signal.SIGTERM, self._note_signal)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # At the start of a step, Lightning has counted the previous step and its validation. At the end of a step it
        # has not, and a resumed run would repeat or skip a validation.
        step = trainer.global_step
        terminate = self._terminate_on_any_rank(trainer)
        if (terminate or step % self.every == 0) and step > self._saved_at:
            self._save(trainer)
        if terminate:
            raise TerminationRequested(f"terminated at step {step}")

    def _note_signal(self, signum: int, frame: object) -> None:
        self._terminate = True

    def _terminate_on_any_rank(self, trainer: pl.Trainer) -> bool:
        """Return the same answer on every rank, so that all ranks save the same step."""
        if trainer.world_size == 1:
            return self._terminate
        if trainer.global_step % CHECK_EVERY:
            return False
        ranks_to_terminate = torch.full((), float(self._terminate), device=trainer.strategy.root_device)
        torch.distributed.all_reduce(ranks_to_terminate)
        return bool(ranks_to_terminate.item())

    def state_dict(self) -> dict[str, Any]:
        return {"resumed_from": self.resumed_from}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.resumed_from = list(state_dict["resumed_from"])

    def _save(self, trainer: pl.Trainer) -> None:
        step = self._saved_at = trainer.global_step
        partial = self.checkpoints.folder / "partial.tmp"
        trainer.save_checkpoint(partial)
        if trainer.is_global_zero:
            self.checkpoints.add(partial, step)
