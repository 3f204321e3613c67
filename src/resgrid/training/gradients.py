"""Gradient flow: the norm of each layer's gradient and the relative size of its update, at three steps."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from resgrid.artifacts.cell_files import GRADIENTS_COLUMNS
from resgrid.artifacts.files import csv_bytes

Row = tuple[int, int, str, float, float]  # GRADIENTS_COLUMNS


class GradientRecorder(pl.Callback):
    """Records all convolutions and linear layers at the first, the middle and the last step.

    `gradient_norm` is the Euclidean norm of the loss's gradient with respect to the layer's weight. The gradient is the
    one that the optimizer gets: the mean over the global batch, in fp32, before weight decay. `update_ratio` is the
    norm of the step's change of the weight over the norm of the weight before the step.

    At all other steps the callback does not use the device.

    Args:
        max_steps: steps of the training; steps count from 1, as in the curve.
    """

    def __init__(self, max_steps: int) -> None:
        self.steps = {1, (max_steps + 1) // 2, max_steps}
        self.rows: list[Row] = []
        self._weights_before: dict[str, Tensor] = {}
        self._gradient_norms: dict[str, Tensor] = {}

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if trainer.global_step + 1 not in self.steps:
            return
        for name, weight in layer_weights(pl_module.get_submodule("network")).items():
            if weight.grad is not None:  # None if the loss does not depend on the layer
                self._weights_before[name] = weight.detach().clone()
                self._gradient_norms[name] = _norm(weight.grad)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not self._weights_before:
            return
        after = layer_weights(pl_module.get_submodule("network"))
        ratios = [_norm(after[name].detach() - before) / _norm(before) for name, before in self._weights_before.items()]
        values = torch.stack([torch.stack(list(self._gradient_norms.values())), torch.stack(ratios)]).tolist()
        for index, (name, norm, ratio) in enumerate(zip(self._weights_before, *values, strict=True), start=1):
            self.rows.append((trainer.global_step, index, name, norm, ratio))
        self._weights_before, self._gradient_norms = {}, {}

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = [tuple(row) for row in state_dict["rows"]]

    def csv(self) -> bytes:
        """Return the content of `gradients.csv`."""
        return csv_bytes(GRADIENTS_COLUMNS, self.rows)


def layer_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights of convolutions and linear layers by name, in the order of depth."""
    return {
        name: module.weight for name, module in network.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))
    }


def _norm(values: Tensor) -> Tensor:
    return torch.linalg.vector_norm(values, dtype=torch.float64)
