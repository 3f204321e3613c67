"""The training curve: one row for each validation, and the weights of the best validation."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from resgrid.artifacts.cell_files import CURVE_COLUMNS
from resgrid.artifacts.files import csv_bytes
from resgrid.training.accumulator import Accumulator
from resgrid.training.module import Classifier

Row = dict[str, float]


class CurveRecorder(pl.Callback):
    """Records the curve, and keeps the weights with the lowest validation error (the earliest of equals).

    Args:
        steps_per_epoch: size of the training split over the global batch size.

    Attributes:
        rows: `CURVE_COLUMNS` of each validation.
        selected_step: step of the lowest validation error.
        selected_error: that error, in percent.
        selected_weights: the weights of that step, on the CPU.
    """

    def __init__(self, steps_per_epoch: float) -> None:
        self.steps_per_epoch = steps_per_epoch
        self.rows: list[Row] = []
        self.selected_step = 0
        self.selected_error = float("inf")
        self.selected_weights: dict[str, Tensor] = {}

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Classifier)
        if trainer.state.fn != TrainerFn.FITTING:  # the final measurement is not part of the curve
            return
        train, val = pl_module.train_sums.score(), pl_module.val_score
        assert val is not None
        step = trainer.global_step
        row: Row = {
            "step": step,
            "epoch": round(step / self.steps_per_epoch, 4),
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "train/loss": train.loss,
            "train/error": train.error,
            "val/loss": val.loss,
            "val/error": val.error,
        }
        pl_module.train_sums = Accumulator(pl_module.device)
        self.rows.append(row)
        if val.error < self.selected_error:
            self.selected_step, self.selected_error = step, val.error
            self.selected_weights = snapshot(pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "selected_step": self.selected_step,
            "selected_error": self.selected_error,
            "selected_weights": self.selected_weights,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])
        self.selected_step = state_dict["selected_step"]
        self.selected_error = state_dict["selected_error"]
        self.selected_weights = state_dict["selected_weights"]

    def csv(self) -> bytes:
        """Return the content of `curve.csv`."""
        return csv_bytes(CURVE_COLUMNS, ([row[column] for column in CURVE_COLUMNS] for row in self.rows))


def snapshot(module: Classifier) -> dict[str, Tensor]:
    """Copy the network's weights and batch normalization statistics to the CPU, in contiguous layout."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in module.network.state_dict().items()}
