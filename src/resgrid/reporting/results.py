"""The grid's results as typed objects: cells, networks over their seeds, and the whole grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resgrid.artifacts.cell_files import Complexity, TestMetrics, TrainMetrics
from resgrid.artifacts.run_record import RunRecord
from resgrid.cells import Cell
from resgrid.names import Network, parse_network
from resgrid.reporting.statistics import Sample

Measure = Literal[
    "train_error", "val_error", "test_error", "test_top5_error", "selected_val_error", "selected_test_error"
]

# The kinds of the paper's CIFAR-10 networks, in the order of its tables.
_PAPER_KINDS = ("plain", "resnet-A", "resnet-B", "resnet-C")


class ResultsError(ValueError):
    """The cells' files are missing or contradict each other; the message names them and the fix."""


@dataclass(frozen=True)
class CellResult:
    """The files of one cell.

    Attributes:
        curve: `CURVE_COLUMNS`, one row for each validation; errors in percent.
        confusion: test images by actual (row) and predicted (column) class.
        record: None if this machine has no record of the run, for instance after a restore from DVC's cache.
        complexity: None if the file is missing.
        tables: the columns `ANALYSIS_COLUMNS` of each analysis, by its name, without those whose file is missing or has
            no rows, such as the blocks of a network that is not made of blocks.
        activation_maps: path of the picture; None if it is missing.
        carried_over: how the training was carried over to the present code, in words; None if this code trained.
    """

    cell: Cell
    train: TrainMetrics
    test: TestMetrics
    curve: pd.DataFrame
    confusion: NDArray[np.int64]
    record: RunRecord | None
    complexity: Complexity | None = None
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    activation_maps: Path | None = None
    carried_over: str | None = None

    @property
    def diverged(self) -> bool:
        """Whether a loss or an error is not finite."""
        train, test = self.train, self.test
        numbers = (train.train_loss, train.val_loss, test.test_loss, *self.errors.values())
        return not all(math.isfinite(number) for number in numbers)

    @property
    def errors(self) -> dict[Measure, float]:
        """Measured errors, in percent; the top-5 error is measured only with many classes."""
        errors: dict[Measure, float | None] = {
            "train_error": self.train.train_error,
            "val_error": self.train.val_error,
            "test_error": self.test.test_error,
            "test_top5_error": self.test.test_top5_error,
            "selected_val_error": self.train.selected_val_error,
            "selected_test_error": self.test.selected_test_error,
        }
        return {measure: error for measure, error in errors.items() if error is not None}


@dataclass(frozen=True)
class Analysis:
    """One analysis of a network, over the seeds that have its file.

    Attributes:
        cells: the cells that have the file.
        table: the file's columns; numbers are means over these cells, row by row.
        low: the same table with the lowest numbers over these cells.
        high: the same table with the highest numbers.
    """

    cells: tuple[CellResult, ...]
    table: pd.DataFrame
    low: pd.DataFrame
    high: pd.DataFrame

    def at(self, step: int) -> Analysis:
        """Return the rows of one step."""
        tables = (table[table["step"] == step] for table in (self.table, self.low, self.high))
        return Analysis(self.cells, *tables)


@dataclass(frozen=True)
class NetworkResult:
    """One network with its seeds, at least one."""

    name: str
    cells: tuple[CellResult, ...]

    @cached_property
    def network(self) -> Network:
        return parse_network(self.name)

    @property
    def depth(self) -> int | None:
        """Weighted layers; None if the name doesn't give them."""
        return self.network.depth

    @property
    def kind(self) -> str:
        """What networks that differ only in depth have in common, such as `plain` or `resnet-A`."""
        return self.network.kind

    @property
    def plain_counterpart(self) -> str | None:
        """Name of the same network without shortcuts; None for a network that is not residual."""
        return self.network.plain_counterpart

    @property
    def parameters(self) -> int:
        return self.cells[0].train.parameters

    @property
    def complexity(self) -> Complexity | None:
        """Complexity, which is the same for every seed."""
        return next((cell.complexity for cell in self.cells if cell.complexity is not None), None)

    @cached_property
    def errors(self) -> dict[Measure, Sample]:
        """Errors that every seed has, in percent."""
        errors = [cell.errors for cell in self.cells]
        return {
            measure: Sample(tuple(one[measure] for one in errors))
            for measure in errors[0]
            if all(measure in one for one in errors)
        }

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Confusion matrix, summed over the seeds."""
        return np.sum([cell.confusion for cell in self.cells], axis=0)

    def curves(self, column: str) -> pd.DataFrame:
        """Return a column of `curve.csv` by step (rows) and seed (columns)."""
        return pd.DataFrame(
            {cell.cell.seed: pd.Series(cell.curve[column].array, index=cell.curve["step"]) for cell in self.cells}
        )

    def analysis(self, name: str) -> Analysis | None:
        """Average an analysis over the seeds; None if no seed has its table.

        Raises:
            ResultsError: the seeds' files have different layers or blocks.
        """
        cells = tuple(cell for cell in self.cells if name in cell.tables)
        if not cells:
            return None
        tables = [cell.tables[name] for cell in cells]
        first, *others = tables
        labels = first.select_dtypes(exclude="float")
        if any(not labels.equals(other[labels.columns]) for other in others):
            raise ResultsError(f"{self.name}: {name}.csv: the seeds' files have different layers; rerun `dvc repro`")
        numbers = np.stack([table.select_dtypes("float").to_numpy() for table in tables])
        columns = [str(column) for column in first.select_dtypes("float")]

        def combined(values: NDArray[np.float64]) -> pd.DataFrame:
            return first.assign(**dict(zip(columns, values.T, strict=True)))

        return Analysis(
            cells, combined(numbers.mean(axis=0)), combined(numbers.min(axis=0)), combined(numbers.max(axis=0))
        )


@dataclass(frozen=True)
class Results:
    """The whole grid, in the order of `params.yaml`.

    Attributes:
        networks: networks with the cells that didn't diverge.
        diverged: the other cells, which are left out of every mean, chart and verdict.
        missing: cells of the grid that are not trained and evaluated; a report that has some is preliminary.
    """

    networks: tuple[NetworkResult, ...]
    diverged: tuple[CellResult, ...] = ()
    missing: tuple[Cell, ...] = ()

    @property
    def cells(self) -> list[CellResult]:
        """Cells that didn't diverge."""
        return [cell for network in self.networks for cell in network.cells]

    @property
    def all_cells(self) -> list[CellResult]:
        """Cells that didn't diverge, then those that did."""
        return [*self.cells, *self.diverged]

    @property
    def has_top5(self) -> bool:
        """Whether any network's top-5 error was measured."""
        return any("test_top5_error" in network.errors for network in self.networks)

    @property
    def depths(self) -> list[int]:
        """Depths of the networks whose name gives one, without duplicates."""
        return sorted({network.depth for network in self.networks if network.depth is not None})

    @property
    def by_depth(self) -> list[NetworkResult]:
        """Networks from shallow to deep, plain before residual; networks without a depth last."""
        return sorted(self.networks, key=lambda result: (result.depth or math.inf, *_rank(result.kind)))

    @property
    def by_kind(self) -> dict[str, list[NetworkResult]]:
        """Networks by kind, from shallow to deep: the paper's kinds first, then in alphabetical order."""
        kinds = sorted({network.kind for network in self.networks}, key=_rank)
        return {kind: [result for result in self.by_depth if result.kind == kind] for kind in kinds}


def _rank(kind: str) -> tuple[int, str]:
    return _PAPER_KINDS.index(kind) if kind in _PAPER_KINDS else len(_PAPER_KINDS), kind
