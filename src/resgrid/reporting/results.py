"""The grid's results: every cell's files as typed objects, and what they come to over the seeds of a network.

The cells are those of the grid in `params.yaml`, whole or not at all: a folder under `runs/` that the grid doesn't
name is never read, and a cell without its files is an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from resgrid.artifacts.analyses import ANALYSIS_COLUMNS
from resgrid.artifacts.cell_files import CURVE_COLUMNS, CellPaths, Complexity, TestMetrics, TrainMetrics
from resgrid.artifacts.data_card import PREPARED, DatasetCard, PreparedPaths
from resgrid.artifacts.files import RUNS
from resgrid.artifacts.run_record import RunRecord, record_path
from resgrid.cells import Cell
from resgrid.config.report import ReportParams
from resgrid.names import Network, parse_network
from resgrid.reporting.statistics import Difference, Spread, paired_difference

Measure = Literal[
    "train_error", "val_error", "test_error", "test_top5_error", "selected_val_error", "selected_test_error"
]
# The kinds of the paper's CIFAR-10 networks, in the order of its tables.
PAPER_KINDS = ("plain", "resnet-A", "resnet-B", "resnet-C")

RecordT = TypeVar("RecordT", bound=BaseModel)

# Both are shares of the same images, so they differ by rounding only.
_SAME_ERROR = 1e-3
_NAMED_AT_MOST = 10


class ResultsError(ValueError):
    """The cells' files are missing or don't fit together; the message names them and says what to do."""


@dataclass(frozen=True)
class CellResult:
    """What one cell left behind.

    Attributes:
        curve: `CURVE_COLUMNS`, one row for each validation; errors in percent.
        confusion: test images, by actual (row) and predicted (column) class.
        record: None where this machine holds no record of the run, as after a restore from DVC's cache.
        complexity: None if the file is missing.
        tables: the columns `ANALYSIS_COLUMNS` of each analysis, by its name, without those whose file is missing or has
            no rows, such as the blocks of a network that is not made of blocks.
        activation_maps: the picture's path; None where there is none.
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

    @property
    def errors(self) -> dict[Measure, float]:
        """In percent; those that were measured: the top-5 error takes many classes."""
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
    """One analysis of a network, over the seeds that have it.

    Attributes:
        cells: those that have its file.
        table: the file's columns, numbers averaged over these cells, row by row.
    """

    cells: tuple[CellResult, ...]
    table: pd.DataFrame


@dataclass(frozen=True)
class NetworkResult:
    """One network with all its seeds."""

    name: str
    cells: tuple[CellResult, ...]

    @cached_property
    def network(self) -> Network:
        return parse_network(self.name)

    @property
    def depth(self) -> int | None:
        """Weighted layers; None where the name doesn't say them."""
        return self.network.depth

    @property
    def kind(self) -> str:
        """The name without the depth, such as `resnet-A`; networks of one kind differ only in depth."""
        return self.network.kind

    @property
    def plain_counterpart(self) -> str | None:
        """The name of the same network without shortcuts; None for a network that isn't residual."""
        return self.network.plain_counterpart

    @property
    def parameters(self) -> int:
        return self.cells[0].train.parameters

    @property
    def complexity(self) -> Complexity | None:
        """It is the same for every seed."""
        return next((cell.complexity for cell in self.cells if cell.complexity is not None), None)

    @cached_property
    def errors(self) -> dict[Measure, Spread]:
        """In percent; those that every seed has."""
        errors = [cell.errors for cell in self.cells]
        return {
            measure: Spread(tuple(one[measure] for one in errors))
            for measure in errors[0]
            if all(measure in one for one in errors)
        }

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Summed over the seeds."""
        return np.sum([cell.confusion for cell in self.cells], axis=0)

    def curves(self, column: str) -> pd.DataFrame:
        """A column of `curve.csv` by step (rows) and seed (columns)."""
        return pd.DataFrame(
            {cell.cell.seed: pd.Series(cell.curve[column].array, index=cell.curve["step"]) for cell in self.cells}
        )

    def analysis(self, name: str) -> Analysis | None:
        """Average an analysis over the seeds; None if no seed has its table.

        Raises:
            ResultsError: the seeds' files are of different layers or blocks.
        """
        cells = tuple(cell for cell in self.cells if name in cell.tables)
        if not cells:
            return None
        tables = [cell.tables[name] for cell in cells]
        first, *others = tables
        labels = first.select_dtypes(exclude="float")
        if any(not labels.equals(other[labels.columns]) for other in others):
            raise ResultsError(f"{self.name}: the seeds' {name}.csv name different layers; `dvc repro` makes them anew")
        numbers = [table.select_dtypes("float") for table in tables]
        mean = sum(numbers[1:], numbers[0]) / len(numbers)
        return Analysis(cells, first.assign(**{str(column): mean[column] for column in mean}))


@dataclass(frozen=True)
class Comparison:
    """One error of two networks, seed by seed.

    Attributes:
        differences: second minus first, in percentage points.
    """

    measure: Measure
    first: NetworkResult
    second: NetworkResult

    @cached_property
    def differences(self) -> Spread:
        firsts, seconds = self.first.errors[self.measure].values, self.second.errors[self.measure].values
        return Spread(tuple(second - first for first, second in zip(firsts, seconds, strict=True)))

    @cached_property
    def difference(self) -> Difference:
        """Of the means over the seeds, with its interval."""
        return paired_difference(self.differences)


@dataclass(frozen=True)
class Results:
    """The whole grid, in the order of `params.yaml`."""

    networks: tuple[NetworkResult, ...]

    @property
    def cells(self) -> list[CellResult]:
        return [cell for network in self.networks for cell in network.cells]

    @property
    def has_top5(self) -> bool:
        """Whether any network's top-5 error is known."""
        return any("test_top5_error" in network.errors for network in self.networks)

    @property
    def depths(self) -> list[int]:
        """Those that occur; a network whose name says no depth has none."""
        return sorted({network.depth for network in self.networks if network.depth is not None})

    @property
    def by_depth(self) -> list[NetworkResult]:
        """Each plain network followed by its residual twins and others of its depth; those without a depth last."""
        return sorted(self.networks, key=lambda result: (result.depth or math.inf, *_rank(result.kind)))

    @property
    def by_kind(self) -> dict[str, list[NetworkResult]]:
        """By kind: those of the paper first, then in the alphabet's order; each from shallow to deep."""
        kinds = sorted({network.kind for network in self.networks}, key=_rank)
        return {kind: [result for result in self.by_depth if result.kind == kind] for kind in kinds}


def _rank(kind: str) -> tuple[int, str]:
    return PAPER_KINDS.index(kind) if kind in PAPER_KINDS else len(PAPER_KINDS), kind


def read_card(prepared: Path = PREPARED) -> DatasetCard:
    """Read the card of the prepared data.

    Raises:
        ResultsError: the card is missing or is no card.
    """
    path = PreparedPaths(prepared).card
    if not path.is_file():
        raise ResultsError(f"{path} is missing: the data aren't prepared; `dvc repro` prepares them")
    return _read(DatasetCard, path)


def read_results(cells: Iterable[Cell], classes: list[str], runs: Path = RUNS) -> Results:
    """Read the files of these cells, and of no others.

    Raises:
        ResultsError: cells lack files, or hold files that can't be read or that contradict each other.
    """
    cells = list(cells)
    _refuse_missing_files(cells, runs)
    by_network: dict[str, list[CellResult]] = {}
    for cell in cells:
        by_network.setdefault(cell.network, []).append(_read_cell(cell, classes, runs))
    return Results(tuple(NetworkResult(name, tuple(results)) for name, results in by_network.items()))


def summarize(config: ReportParams, card: DatasetCard, results: Results) -> dict[str, Any]:
    """The content of `summary.json`: errors in percent, losses in nats per image; null for what isn't known."""
    return {
        "preset": config.preset,
        "data": {
            "name": card.name,
            "label": card.label,
            "note": card.note,
            "counts": card.counts,
            "data_hash": card.data_hash,
        },
        "cells": [_cell_summary(cell) for cell in results.cells],
        "networks": [_network_summary(network) for network in results.networks],
    }


def _cell_summary(result: CellResult) -> dict[str, Any]:
    network, record = parse_network(result.cell.network), result.record
    loss = result.test.test_loss
    return {
        "network": network.name,
        "depth": network.depth,
        "shortcut": network.shortcut,
        "seed": result.cell.seed,
        "parameters": result.train.parameters,
        **result.errors,
        "test_loss": loss if math.isfinite(loss) else None,
        "fingerprint": result.train.fingerprint,
        "run_id": record.run_id if record else None,
        "commit": record.train.commit if record and record.train else None,
    }


def _network_summary(result: NetworkResult) -> dict[str, Any]:
    return {
        "network": result.name,
        "depth": result.network.depth,
        "shortcut": result.network.shortcut,
        "parameters": result.parameters,
        "seeds": [cell.cell.seed for cell in result.cells],
        **{
            measure: {"mean": spread.mean, "deviation": spread.deviation, "n": spread.n}
            for measure, spread in result.errors.items()
        },
    }


def _refuse_missing_files(cells: list[Cell], runs: Path) -> None:
    problems: list[str] = []
    for cell in cells:
        paths = CellPaths(cell, runs)
        files = (paths.metrics, paths.curve, paths.evaluation, paths.confusion)
        missing = [path.name for path in files if not path.is_file()]
        if missing:
            problems.append(f"  {cell.name}: {', '.join(missing)}")
    if problems:
        more = len(problems) - _NAMED_AT_MOST
        listed = [*problems[:_NAMED_AT_MOST], *([f"  and {more} more"] if more > 0 else [])]
        heading = f"{len(problems)} of {len(cells)} cells of the grid lack files under {runs}:"
        advice = "`dvc repro` makes them; a report on a part of the grid is never written"
        raise ResultsError("\n".join([heading, *listed, advice]))


def _read_cell(cell: Cell, classes: list[str], runs: Path) -> CellResult:
    paths = CellPaths(cell, runs)
    train, test = _read(TrainMetrics, paths.metrics), _read(TestMetrics, paths.evaluation)
    if (train.network, train.seed) != (cell.network, cell.seed):
        raise _contradiction(paths.metrics, f"is of {train.network} with seed {train.seed}")
    record = record_path(cell, train.fingerprint)
    return CellResult(
        cell=cell,
        train=train,
        test=test,
        curve=_read_curve(paths.curve),
        confusion=_read_confusion(paths.confusion, classes, test),
        record=_read(RunRecord, record) if record.is_file() else None,
        complexity=_read(Complexity, paths.complexity) if paths.complexity.is_file() else None,
        tables=_read_analyses(paths),
        activation_maps=paths.activation_maps if paths.activation_maps.is_file() else None,
    )


def _read(record_type: type[RecordT], path: Path) -> RecordT:
    try:
        return record_type.model_validate_json(path.read_bytes())
    except ValidationError as error:
        details = error.errors()[0]
        place = ".".join(str(part) for part in details["loc"])
        raise _contradiction(path, f"can't be read: {place}: {details['msg']}".replace(": :", ":")) from None


def _read_analyses(paths: CellPaths) -> dict[str, pd.DataFrame]:
    tables: dict[str, pd.DataFrame] = {}
    for name, columns in ANALYSIS_COLUMNS.items():
        if paths.analysis(name).is_file():
            table = _read_table(paths.analysis(name), columns)
            measured = [column for column in columns if column not in ("step", "index", "layer", "block")]
            if not table.empty:
                tables[name] = table.astype(dict.fromkeys(measured, float))
    return tables


def _read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    table = _read_csv(path)
    if tuple(table.columns) != columns:
        raise _contradiction(path, f"has the columns {', '.join(table.columns)}, not {', '.join(columns)}")
    return table


def _read_curve(path: Path) -> pd.DataFrame:
    curve = _read_table(path, CURVE_COLUMNS)
    if curve.empty or not curve["step"].is_monotonic_increasing or not curve["step"].is_unique:
        raise _contradiction(path, "has no rows, or steps that don't grow")
    return curve


def _read_confusion(path: Path, classes: list[str], test: TestMetrics) -> NDArray[np.int64]:
    # Class names are text: "007" is not 7, and "null" is not a missing value.
    rows = _read_csv(path, dtype=str, keep_default_na=False)
    if list(rows.columns) != ["actual", "predicted"]:
        raise _contradiction(path, f"has the columns {', '.join(rows.columns)}, not actual, predicted")
    actual, predicted = (pd.Index(classes).get_indexer(pd.Index(rows[column])) for column in rows.columns)
    if min(actual.min(initial=0), predicted.min(initial=0)) < 0:
        raise _contradiction(path, "names a class that the data don't have")
    if len(rows) != test.images:
        raise _contradiction(path, f"has {len(rows)} images, and evaluation.json {test.images}")
    size = len(classes)
    confusion = np.bincount(actual * size + predicted, minlength=size * size).reshape(size, size).astype(np.int64)
    error = 100 * (1 - np.trace(confusion) / test.images)
    if abs(error - test.test_error) > _SAME_ERROR:
        raise _contradiction(path, f"gives a test error of {error:.3f} %, and evaluation.json {test.test_error:.3f} %")
    return confusion


def _read_csv(path: Path, **options: Any) -> pd.DataFrame:
    try:
        return pd.read_csv(path, **options)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise _contradiction(path, f"can't be read: {error}") from None


def _contradiction(path: Path, problem: str) -> ResultsError:
    return ResultsError(f"{path} {problem}; `dvc repro` makes it anew")
