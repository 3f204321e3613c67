"""The typed records and file names that pass between pipeline stages: where each file is and what is in it.

Everything that DVC hashes between `download` and `evaluate` is a function of the stage's inputs. Times, hosts and
run ids live in a `RunRecord`, which DVC doesn't see (`RECORDS`).
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from resgrid.cells import Cell

RAW = Path("data/raw")
PREPARED = Path("data/prepared")
RUNS = Path("runs")
REPORTS = Path("reports")
SPLITS = ("train", "val", "test")

CURVE_COLUMNS = ("step", "epoch", "lr", "train/loss", "train/error", "val/loss", "val/error")
RESPONSES_COLUMNS = ("index", "layer", "std")
GRADIENTS_COLUMNS = ("step", "index", "layer", "gradient_norm", "update_ratio")
BLOCKS_COLUMNS = ("index", "block", "residual_ratio", "lesion_error", "intact_error")


def state_folder() -> Path:
    """The folder for what must outlive a run but is no result: checkpoints for resuming and run records.

    `.resgrid` in the working folder, unless the environment variable `RESGRID_STATE` names another.
    """
    return Path(os.environ.get("RESGRID_STATE", ".resgrid"))


class _Record(BaseModel):
    """A record that is written as JSON, in the same bytes for the same content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def write(self, path: Path) -> None:
        text = json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False)
        write_whole(path, (text + "\n").encode())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record back.

        Raises:
            FileNotFoundError: it isn't there.
            ValueError: it is damaged.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise FileNotFoundError(f"{path} is missing; `dvc repro` makes it") from None
        except ValidationError as error:
            raise ValueError(f"{path} is damaged: {error}") from None


class DatasetCard(_Record):
    """`data/prepared/card.json`: what the prepared data are.

    Attributes:
        name: the data set's key in `params.yaml`.
        label: what people call it ("CIFAR-10", "CIFAR-10 (JPEG)").
        note: what a reader must know before comparing numbers (lossy re-encoding, an own split), or empty.
        shape: channels, height, width of an image; with storage `files`, of its crop.
        classes: class names; a label is an index into them.
        counts: images in each split, without skipped ones.
        channel_mean: of the training part, on pixels scaled to [0, 1], per channel.
        channel_std: likewise.
        sha256: of each file under `data/prepared`, by its path there.
        storage: `arrays`, or `files`: images stay in their files, and the arrays hold their paths and SHA-256.
        images: `files` only: SHA-256 of the index of the image files, which leads to the folder that holds them.
        shorter_side: `files` only: length in pixels to which the shorter side is scaled before a central crop.
        channel_covariance: `files` only: of the training part's colours, on pixels scaled to [0, 1], (C, C).
        skipped: `files` only: image files that can't be read and were left out, with the reason.
    """

    name: str
    label: str
    note: str
    shape: tuple[int, int, int]
    classes: list[str]
    counts: dict[str, int]
    channel_mean: list[float]
    channel_std: list[float]
    sha256: dict[str, str]
    storage: Literal["arrays", "files"] = "arrays"
    images: str | None = None
    shorter_side: int | None = None
    channel_covariance: list[list[float]] | None = None
    skipped: dict[str, str] = {}

    @property
    def data_hash(self) -> str:
        """One hash over the prepared arrays: the identity of the data in every run.

        The picture of samples is left out: another version of the drawing library makes no other data.
        """
        arrays = {path: sha256 for path, sha256 in self.sha256.items() if path.endswith(".npy")}
        return sha256_of_text(json.dumps(arrays, sort_keys=True))


class TrainMetrics(_Record):
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


class TestMetrics(_Record):
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


class Complexity(_Record):
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


class StageRecord(_Record):
    """One execution of a stage for a cell: what is true of that occasion alone.

    Attributes:
        started: ISO 8601, UTC.
        seconds: wall time of the whole stage.
        images_per_second: of the training loop; None for evaluation.
        resumed_from: steps at which checkpoints were taken up; empty for an uninterrupted run.
        commit: of the repository, with `-dirty` if files differed from it; None outside a git repository.
        hardware: processor or accelerator, in words.
        devices: processes that computed, one for each device.
        versions: of Python and the packages that compute.
    """

    started: str
    seconds: float
    images_per_second: float | None
    resumed_from: list[int]
    commit: str | None
    host: str
    hardware: str
    devices: int
    threads: int
    precision: str
    versions: dict[str, str]


class RunRecord(_Record):
    """`<state>/records/<cell>-<fingerprint>.json`: the lineage of a cell's numbers, which DVC doesn't hash.

    Attributes:
        run_id: of the MLflow run; None where tracking was off.
        tracking_uri: where that run is.
    """

    cell: str
    fingerprint: str
    run_id: str | None
    tracking_uri: str | None
    train: StageRecord | None = None
    evaluate: StageRecord | None = None


@dataclass(frozen=True)
class PreparedPaths:
    """The files under `data/prepared`."""

    root: Path = PREPARED

    @property
    def card(self) -> Path:
        return self.root / "card.json"

    @property
    def mean_image(self) -> Path:
        """float32 (C, H, W): the mean training image on pixels scaled to [0, 1]."""
        return self.root / "mean_image.npy"

    @property
    def samples(self) -> Path:
        return self.root / "samples.png"

    def images(self, split: str) -> Path:
        """uint8 (N, C, H, W); with storage `arrays`."""
        return self.root / split / "images.npy"

    def image_files(self, split: str) -> Path:
        """bytes (N,): paths of the image files below their folder, in UTF-8; with storage `files`."""
        return self.root / split / "files.npy"

    def image_hashes(self, split: str) -> Path:
        """uint8 (N, 32): the SHA-256 of each image file; with storage `files`."""
        return self.root / split / "sha256.npy"

    def labels(self, split: str) -> Path:
        """int64 (N,)."""
        return self.root / split / "labels.npy"


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

    @property
    def responses(self) -> Path:
        """`RESPONSES_COLUMNS`: one row for each 3×3 convolution, in the order of depth, `index` from 1.

        `std` is the standard deviation of the layer's output over training images, positions and channels, after batch
        norm and before the activation or the addition (paper, Fig. 7).
        """
        return self.root / "responses.csv"

    @property
    def blocks(self) -> Path:
        """`BLOCKS_COLUMNS`: one row for each block, in the order of depth, `index` from 1.

        `residual_ratio` is the norm of F(x) over the norm of the shortcut's output, averaged over training images,
        empty for a plain block; `lesion_error` is the test error in percent when this block alone is dropped, and
        `intact_error`, the same in each row, that of the whole network on the same test images.
        """
        return self.root / "blocks.csv"

    @property
    def activation_maps(self) -> Path:
        """Class activation maps of sample test images."""
        return self.root / "activation_maps.png"


def record_path(cell: Cell, fingerprint: str) -> Path:
    return state_folder() / "records" / f"{cell.name}-{fingerprint[:16]}.json"


def csv_bytes(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    """A table with a header row, in the same bytes for the same content on every system."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: beside its place first, then by rename.

    Raises:
        OSError: with the path in it: the folder is read-only, the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with named_failures(path):
            partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def named_failures(path: Path) -> Iterator[None]:
    """Put the path into errors of writing: a full disk answers without saying where.

    Raises:
        OSError: with `path` in it.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        reason = f"{os.strerror(error.errno)}; make room in {path.parent.absolute()}"
        raise OSError(error.errno, reason, str(path)) from error


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_files(root: Path, paths: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of each file, by its path below `root`."""
    return {path.relative_to(root).as_posix(): sha256_of_file(path) for path in sorted(paths)}
