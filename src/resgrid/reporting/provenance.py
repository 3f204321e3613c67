"""Provenance of the page's numbers: the files and fields that each number comes from.

A number on the page is an element with `data-source`, one `<file>#<field>` for each value, and `data-how`, the way the
values were combined: `value` (unchanged), `mean`, `deviation` (sample standard deviation), `best` and `worst` (lowest
and highest), `sum-of-products` (of neighboring pairs), `difference` (mean of the second half minus mean of the first)
or, from files of logits, `ensemble` (test error of the averaged probabilities). `data-unit` is a divisor, and
`data-minus` a published number that was subtracted.

Sources that differ only in the seed are folded, as a shell would expand them:
`runs/plain8-{0,1}/metrics.json#val_error`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, stdev
from typing import Literal

from markupsafe import Markup, escape

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.files import RUNS
from resgrid.artifacts.run_record import record_path
from resgrid.reporting.ensembles import Ensemble
from resgrid.reporting.formatting import points
from resgrid.reporting.results import CellResult, Measure, NetworkResult

RECORDS = ".resgrid/records"  # the default; `RESGRID_STATE` can change it

How = Literal["value", "mean", "deviation", "best", "worst", "sum-of-products", "difference"]
PipelineStage = Literal["train", "evaluate"]

HOW: dict[str, Callable[[Sequence[float]], float]] = {
    "value": lambda values: values[0],
    "mean": fmean,
    "deviation": stdev,
    "best": min,
    "worst": max,
    "sum-of-products": lambda values: sum(one * other for one, other in zip(values[::2], values[1::2], strict=True)),
    "difference": lambda values: fmean(values[len(values) // 2 :]) - fmean(values[: len(values) // 2]),
}

_SEED = re.compile(r"(?P<head>(?:runs/)?[^/]+-)[0-9]+(?P<tail>(?:/.*)?)")
_FILE_OF_MEASURE: dict[Measure, str] = {
    "train_error": "metrics.json",
    "val_error": "metrics.json",
    "selected_val_error": "metrics.json",
    "test_error": "evaluation.json",
    "test_top5_error": "evaluation.json",
    "selected_test_error": "evaluation.json",
}


@dataclass(frozen=True)
class Number:
    """A number with its provenance.

    Attributes:
        values: the values in the files, in the order of the sources.
        sources: `<file>#<field>`, such as `runs/plain8-0/evaluation.json#test_error`.
    """

    how: How
    values: tuple[float, ...]
    sources: tuple[str, ...]

    @property
    def value(self) -> float:
        return HOW[self.how](self.values)

    def shown(self, pattern: str = "%.2f", scale: float = 1) -> Markup:
        """Return HTML, by a printf pattern (or `,` for an integer with commas), in units of `scale`."""
        value = self.value / scale
        text = f"{round(value):,}" if pattern == "," else (pattern % value).replace("-", "\N{MINUS SIGN}")
        return self.shown_as(text, scale)

    def shown_as(self, text: str, scale: float = 1) -> Markup:
        """Return HTML with a text for the number, such as a duration."""
        unit = Markup(' data-unit="{}"').format(f"{scale:g}") if scale != 1 else Markup("")
        how = Markup(' data-how="{}"').format(self.how) if self.how != "value" else Markup("")
        return Markup('<data value="{}" data-source="{}"{}{}>{}</data>').format(
            f"{self.value / scale:.10g}", " ".join(folded(self.sources)), how, unit, text
        )


def of_cell(cell: CellResult, measure: Measure) -> Number:
    """Return one cell's error, in percent."""
    return Number("value", (cell.errors[measure],), (measure_source(cell, measure),))


def of_network(network: NetworkResult, measure: Measure, how: How) -> Number | None:
    """Return an error over the seeds, in percent; None for the standard deviation of one seed."""
    if how == "deviation" and len(network.cells) == 1:
        return None
    return of_cells(network.cells, measure, how)


def of_cells(cells: Sequence[CellResult], measure: Measure, how: How) -> Number:
    """Return an error over any cells, in percent."""
    values = tuple(cell.errors[measure] for cell in cells)
    return Number(how, values, tuple(measure_source(cell, measure) for cell in cells))


def difference(first: NetworkResult, second: NetworkResult, measure: Measure) -> Number:
    """Return the second network's mean error minus the first's, in percentage points."""
    return of_cells((*first.cells, *second.cells), measure, "difference")


def of_file(cell: CellResult, file: str, field: str, value: float) -> Number:
    """Return a number from one of a cell's files."""
    return Number("value", (value,), (source(cell, file, field),))


def of_card(card: DatasetCard, split: str) -> Number:
    """Return the number of images in a split."""
    return Number("value", (card.counts[split],), (f"{PreparedPaths().card.as_posix()}#counts.{split}",))


def of_record(cell: CellResult, stage: PipelineStage, field: str) -> Number | None:
    """Return a number from the cell's run record; None if it has none."""
    value = getattr(getattr(cell.record, stage, None), field, None)
    return None if value is None else Number("value", (value,), (record_source(cell, stage, field),))


def device_seconds(cells: Iterable[CellResult], stage: PipelineStage) -> Number | None:
    """Return wall time × devices, summed over the cells that have a record; None if none has."""
    values: list[float] = []
    sources: list[str] = []
    for cell in cells:
        executed = None if cell.record is None else getattr(cell.record, stage)
        if executed is not None:
            values += [executed.seconds, executed.devices]
            sources += [record_source(cell, stage, field) for field in ("seconds", "devices")]
    return Number("sum-of-products", tuple(values), tuple(sources)) if values else None


def record_source(cell: CellResult, stage: PipelineStage, field: str) -> str:
    """Return the source of a field in the cell's run record."""
    return f"{RECORDS}/{record_path(cell.cell, cell.train.fingerprint).name}#{stage}.{field}"


def against_paper(network: NetworkResult, published: float) -> Markup:
    """Return mean test error minus a directly comparable published one, in percentage points, as HTML."""
    mean = of_cells(network.cells, "test_error", "mean")
    return Markup('<data value="{:.10g}" data-source="{}" data-how="mean" data-minus="{:g}">{}</data>').format(
        mean.value - published, " ".join(folded(mean.sources)), published, points(mean.value - published)
    )


def of_ensemble(ensemble: Ensemble) -> Markup:
    """Return the ensemble's test error as HTML; it is computed from the members' logits."""
    files = folded(source(cell, "logits.npy") for cell in ensemble.members)
    return Markup('<data value="{:.10g}" data-source="{}" data-how="ensemble">{:.2f}</data>').format(
        ensemble.error, " ".join(files), ensemble.error
    )


def confusion_sources(network: NetworkResult) -> str:
    """Return the folded sources of a network's confusion matrix."""
    return " ".join(folded(source(cell, "confusion.csv") for cell in network.cells))


def measure_sources(network: NetworkResult, measure: Measure) -> str:
    """Return the folded sources of an error over the seeds."""
    return " ".join(folded(measure_source(cell, measure) for cell in network.cells))


def column_sources(cells: Iterable[CellResult], file: str, column: str) -> str:
    """Return the folded sources of a column over these cells."""
    return " ".join(folded(source(cell, file, column) for cell in cells))


def folded(sources: Iterable[str]) -> list[str]:
    """Fold neighboring sources, or cell names, that differ only in the seed: `plain8-{0,1}`."""
    result: list[str] = []
    for (head, tail), group in groupby(sources, key=_around_seed):
        seeds = [each[len(head) : len(each) - len(tail)] for each in group]
        result.append(f"{head}{seeds[0] if len(seeds) == 1 else '{' + ','.join(seeds) + '}'}{tail}")
    return result


def _around_seed(source: str) -> tuple[str, str]:
    match = _SEED.fullmatch(source)
    return (match["head"], match["tail"]) if match else (source, "")


def measure_source(cell: CellResult, measure: Measure) -> str:
    """Return the source of one cell's error."""
    return source(cell, _FILE_OF_MEASURE[measure], measure)


def source(cell: CellResult, file: str, field: str = "") -> str:
    """Return such as `runs/plain8-0/evaluation.json#test_error`, whatever folder the files were read from."""
    return f"{(RUNS / cell.cell.name / file).as_posix()}{'#' if field else ''}{field}"


def shown(number: Number | None, pattern: str = "%.2f", scale: float = 1) -> Markup:
    """Return a number as HTML; nothing for None."""
    return escape("") if number is None else number.shown(pattern, scale)
