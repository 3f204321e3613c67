"""The files of a cell below `runs/`, and the records in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resgrid.artifacts.files import RUNS, JsonRecord
from resgrid.cells import Cell

CURVE_COLUMNS = ("step", "epoch", "lr", "train/loss", "train/error", "val/loss", "val/error")
GRADIENTS_COLUMNS = ("step", "index", "layer", "gradient_norm", "update_ratio")


class TrainMetrics(JsonRecord):
    """`runs/<cell>/metrics.json`: the results of training. Errors in percent, losses in nats per image.

    Losses are NaN if training diverged.

    Attributes:
        parameters: number of trainable weights.
        train_error: of the final weights, on each training image once without augmentation.
        val_error: of the final weights.
        selected_step: validated step with the lowest validation error (the earliest of equals).
        selected_val_error: validation error at this step; `selected.safetensors` contains its weights.
        precision: `32` or `bf16`, as computed.
        fingerprint: SHA-256 of the cell's parameters, code and data.
    """

    network: str
    seed: int
    parameters: int
    steps: int
    epochs: float
    train_loss: float
    train_error: float
    val_loss: float
    val_error: float
    selected_step: int
    selected_val_error: float
    precision: str
    fingerprint: str


class TestMetrics(JsonRecord):
    """`runs/<cell>/evaluation.json`: the test results. Errors in percent, losses in nats per image.

    Attributes:
        test_error: of the final weights; the result to quote.
        test_top5_error: of the final weights: percent of images whose class is not among the five most probable; None
            with fewer than 100 classes.
        selected_test_error: of the weights with the lowest validation error.
        per_class_error: of the final weights, by class name.
        images: size of the test set.
    """

    __test__ = False  # pytest would collect the class by its name

    test_loss: float
    test_error: float
    selected_test_error: float
    per_class_error: dict[str, float]
    images: int
    test_top5_error: float | None = None


class Complexity(JsonRecord):
    """`runs/<cell>/complexity.json`: the network's cost for one image of the data's size.

    Attributes:
        depth: weighted layers on the longest path, counted as in the paper (without projections).
        parameters: number of trainable weights.
        multiply_adds: of convolutions and linear layers, counted as in the paper.
        activation_bytes: fp32 outputs of all layers that a training step keeps for the backward pass.
        receptive_field: pixels of the input per side, for one output position of the last convolution. It may exceed
            the image; None if it is unknown (after attention).
    """

    depth: int
    parameters: int
    multiply_adds: int
    activation_bytes: int
    receptive_field: int | None


@dataclass(frozen=True)
class CellPaths:
    """The files of one cell, under `runs/<network>-<seed>`."""

    cell: Cell
    runs: Path = RUNS

    @property
    def root(self) -> Path:
        return self.runs / self.cell.name

    @property
    def weights(self) -> Path:
        """Final weights."""
        return self.root / "weights.safetensors"

    @property
    def selected(self) -> Path:
        """Weights with the lowest validation error."""
        return self.root / "selected.safetensors"

    @property
    def trace(self) -> Path:
        """Digests of the training's state after single steps, for `make accept`."""
        return self.root / "trace.safetensors"

    @property
    def anchors(self) -> Path:
        """States of the training from which a replay resumes."""
        return self.root / "anchors.safetensors"

    @property
    def curve(self) -> Path:
        """`CURVE_COLUMNS`: one row per validation."""
        return self.root / "curve.csv"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.json"

    @property
    def logits(self) -> Path:
        """Logits of the final weights, float32 (test images, classes), in the order of the test split.

        With several views of an image, logarithms of its mean class probabilities.
        """
        return self.root / "logits.npy"

    @property
    def confusion(self) -> Path:
        """`actual,predicted`: class names, one row per test image."""
        return self.root / "confusion.csv"

    @property
    def evaluation(self) -> Path:
        return self.root / "evaluation.json"

    @property
    def complexity(self) -> Path:
        return self.root / "complexity.json"

    @property
    def gradients(self) -> Path:
        """`GRADIENTS_COLUMNS`: one row per weighted layer at the first, the middle and the last step.

        `step` counts from 1, as in `curve.csv`, and so does `index`, in the order of depth. `gradient_norm` is the
        Euclidean norm of the loss's gradient with respect to the layer's weight; `update_ratio` is the norm of the
        weight's change in this step divided by the weight's norm before the step.
        """
        return self.root / "gradients.csv"

    def analysis(self, name: str) -> Path:
        """Return the path of an analysis's table; `resgrid.artifacts.analyses` lists the names and columns."""
        return self.root / f"{name}.csv"

    @property
    def activation_maps(self) -> Path:
        """Class activation maps of sample test images."""
        return self.root / "activation_maps.png"
