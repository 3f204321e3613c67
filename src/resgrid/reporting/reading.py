"""Reading of the prepared data's card and of the cells' files, with every contradiction between them refused.

The cells are those of the grid in `params.yaml`: other folders under `runs/` are never read, and a cell without its
files is an error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from resgrid.artifacts.acceptance import carried_over
from resgrid.artifacts.analyses import ANALYSIS_COLUMNS, LABEL_COLUMNS
from resgrid.artifacts.cell_files import CURVE_COLUMNS, CellPaths, Complexity, TestMetrics, TrainMetrics
from resgrid.artifacts.data_card import PREPARED, DatasetCard, PreparedPaths
from resgrid.artifacts.files import RUNS
from resgrid.artifacts.run_record import RunRecord, record_path
from resgrid.cells import Cell
from resgrid.reporting.results import CellResult, NetworkResult, Results, ResultsError
from resgrid.sources.manifest import manifest_path

RecordT = TypeVar("RecordT", bound=BaseModel)

# Both errors are proportions of the same images, so they differ only by rounding.
_SAME_ERROR = 1e-3
_NAMED_AT_MOST = 10


def read_card(prepared: Path = PREPARED) -> DatasetCard:
    """Read the card of the prepared data.

    Raises:
        ResultsError: the card is missing or damaged.
    """
    path = PreparedPaths(prepared).card
    if not path.is_file():
        raise ResultsError(f"{path}: missing, the data are not prepared; run `dvc repro`")
    return _read(DatasetCard, path)


def read_results(
    cells: Iterable[Cell], classes: list[str], runs: Path = RUNS, missing: Collection[Cell] = ()
) -> Results:
    """Read the files of these cells, and of no others.

    Args:
        missing: those of the cells whose files are not read.

    Raises:
        ResultsError: files are missing, damaged or contradict each other.
    """
    cells = [cell for cell in cells if cell not in missing]
    _refuse_missing_files(cells, runs)
    by_network: dict[str, list[CellResult]] = {}
    diverged: list[CellResult] = []
    for cell in cells:
        result = _read_cell(cell, classes, runs)
        (diverged if result.diverged else by_network.setdefault(cell.network, [])).append(result)
    networks = (NetworkResult(name, tuple(results)) for name, results in by_network.items())
    return Results(tuple(networks), tuple(diverged), tuple(missing))


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
        heading = f"{runs}: {len(problems)} of {len(cells)} cells of the grid lack files:"
        advice = "run `dvc repro`, or `make run`, which reports without them if they fail"
        raise ResultsError("\n".join([heading, *listed, advice]))


def _read_cell(cell: Cell, classes: list[str], runs: Path) -> CellResult:
    paths = CellPaths(cell, runs)
    train, test = _read(TrainMetrics, paths.metrics), _read(TestMetrics, paths.evaluation)
    if (train.network, train.seed) != (cell.network, cell.seed):
        raise _refused(paths.metrics, f"belongs to {train.network} with seed {train.seed}")
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
        carried_over=carried_over(paths, train.fingerprint, manifest_path("train", cell.network)),
    )


def _read(record_type: type[RecordT], path: Path) -> RecordT:
    try:
        return record_type.model_validate_json(path.read_bytes())
    except ValidationError as error:
        details = error.errors()[0]
        place = ".".join(str(part) for part in details["loc"])
        raise _refused(path, f"damaged: {place}: {details['msg']}".replace(": :", ":")) from None


def _read_analyses(paths: CellPaths) -> dict[str, pd.DataFrame]:
    tables: dict[str, pd.DataFrame] = {}
    for name, columns in ANALYSIS_COLUMNS.items():
        if paths.analysis(name).is_file():
            table = _read_table(paths.analysis(name), columns)
            measured = [column for column in columns if column not in LABEL_COLUMNS]
            if not table.empty:
                tables[name] = table.astype(dict.fromkeys(measured, float))
    return tables


def _read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    table = _read_csv(path)
    if tuple(table.columns) != columns:
        raise _refused(path, f"has the columns {', '.join(table.columns)}, not {', '.join(columns)}")
    return table


def _read_curve(path: Path) -> pd.DataFrame:
    curve = _read_table(path, CURVE_COLUMNS)
    if curve.empty or not curve["step"].is_monotonic_increasing or not curve["step"].is_unique:
        raise _refused(path, "has no rows, or its steps don't increase")
    return curve


def _read_confusion(path: Path, classes: list[str], test: TestMetrics) -> NDArray[np.int64]:
    # Class names are text: "007" is not 7, and "null" is not a missing value.
    rows = _read_csv(path, dtype=str, keep_default_na=False)
    if list(rows.columns) != ["actual", "predicted"]:
        raise _refused(path, f"has the columns {', '.join(rows.columns)}, not actual, predicted")
    actual, predicted = (pd.Index(classes).get_indexer(pd.Index(rows[column])) for column in rows.columns)
    if min(actual.min(initial=0), predicted.min(initial=0)) < 0:
        raise _refused(path, "has a class that is not in the data")
    if len(rows) != test.images:
        raise _refused(path, f"has {len(rows)} images, evaluation.json {test.images}")
    size = len(classes)
    confusion = np.bincount(actual * size + predicted, minlength=size * size).reshape(size, size).astype(np.int64)
    error = 100 * (1 - np.trace(confusion) / test.images)
    if abs(error - test.test_error) > _SAME_ERROR:
        raise _refused(path, f"has a test error of {error:.3f}%, evaluation.json {test.test_error:.3f}%")
    return confusion


def _read_csv(path: Path, **options: Any) -> pd.DataFrame:
    try:
        return pd.read_csv(path, **options)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise _refused(path, f"damaged: {error}") from None


def _refused(path: Path, problem: str) -> ResultsError:
    return ResultsError(f"{path}: {problem}; delete it and run `dvc repro`")
