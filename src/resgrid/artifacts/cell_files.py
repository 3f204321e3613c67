"""The files of a cell below `runs/`, and the records in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resgrid.artifacts.files import RUNS, JsonRecord
from resgrid.cells import Cell

CURVE_COLUMNS = ("step", "epoch", "lr", "train/loss", "train/error", "val/loss", "val/error")


GRADIENTS_COLUMNS = ("step", "index", "layer", "gradient_norm", "update_ratio")


class TrainMetrics(JsonRecord):
    """`runs/<cell>/metrics.json`: how the training ended. Errors in percent, losses in nats per image.

    Attributes:
        parameters: trainable weights.
        train_error: of the final weights on every training image once, without augmentation.
        val_error: of the final weights.
        selected_step: the validated step with the lowest validation error (the earliest of equals).
        selected_val_error: the validation error there; `selected.safetensors` holds these weights.
        precision: what was computed with: `32` or `bf16`.
        fingerprint: of the cell: its parameters, code and data (SHA-256).
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
        test_error: of the final weights: the number to quote.
        test_top5_error: of the final weights: the right class is not among the five likeliest ones; None where there
            are fewer than 100 classes.
        selected_test_error: of the weights with the lowest validation error.
        per_class_error: of the final weights, by class name.
        images: size of the test set.
    """

    __test__ = False  # not a test class, whatever pytest makes of the name

    test_loss: float
    test_error: float
    selected_test_error: float
    per_class_error: dict[str, float]
    images: int
    test_top5_error: float | None = None


class Complexity(JsonRecord):
    """`runs/<cell>/complexity.json`: what the network costs, for one image of the data's size.

    Attributes:
        depth: weighted layers on the longest path, as the paper counts them (projections not counted).
        parameters: trainable weights.
        multiply_adds: of convolutions and linear layers, as the paper counts them.
        activation_bytes: outputs of all layers, in fp32, that a training step keeps for the backward pass.
        receptive_field: of one output position of the last convolution, in pixels of the input; may exceed the image,
            and None where it isn't known (behind attention).
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
        """The final weights."""
        return self.root / "weights.safetensors"

    @property
    def selected(self) -> Path:
        """The weights at the lowest validation error."""
        return self.root / "selected.safetensors"

    @property
    def curve(self) -> Path:
        """`CURVE_COLUMNS`, one row for each validation."""
        return self.root / "curve.csv"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.json"

    @property
    def logits(self) -> Path:
        """float32 (test images, classes), of the final weights, in the order of the test split.

        With several views of an image, the logarithms of its mean class probabilities.
        """
        return self.root / "logits.npy"

    @property
    def confusion(self) -> Path:
        """`actual,predicted`: class names, one row for each test image."""
        return self.root / "confusion.csv"

    @property
    def evaluation(self) -> Path:
        return self.root / "evaluation.json"

    @property
    def complexity(self) -> Path:
        return self.root / "complexity.json"

    @property
    def gradients(self) -> Path:
        """`GRADIENTS_COLUMNS`: one row for each weighted layer at the first, the middle and the last step.

        Steps count from 1, as in `curve.csv`; `index` is the layer's, in the order of depth, from 1. `gradient_norm` is
        the Euclidean norm of the loss's gradient by the layer's weight; `update_ratio` is the norm of the step's change
        of the weight over the norm of the weight before it.
        """
        return self.root / "gradients.csv"

    def analysis(self, name: str) -> Path:
        """The table of an analysis; `resgrid.artifacts.analyses` lists the names and columns."""
        return self.root / f"{name}.csv"

    @property
    def activation_maps(self) -> Path:
        """Class activation maps of sample test images."""
        return self.root / "activation_maps.png"
