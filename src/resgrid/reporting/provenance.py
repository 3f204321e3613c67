"""Numbers that know which files they come from, so that each number on the page can be followed.

A number on the page is an element with `data-source`, the values it is made of, one `<file>#<field>` each, and
`data-how`, what was done with them: `value` (shown as it is), `mean`, `deviation` (of the sample), `best` and `worst`
(the smallest and the largest), `sum-of-products` (of each two neighbors), `difference` (the mean of the second half
minus the mean of the first) or, of files of logits, `ensemble` (the test error of the averaged probabilities).
`data-unit` is what it was divided by, `data-minus` a published number that was taken from it.

Sources that differ in a seed alone are folded, as a shell would expand them:
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
from resgrid.reporting.results import CellResult, Measure, NetworkResult

RECORDS = ".resgrid/records"  # unless `RESGRID_STATE` puts them elsewhere

How = Literal["value", "mean", "deviation", "best", "worst", "sum-of-products", "difference"]

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
    """A number with its origin.

    Attributes:
        values: what the sources hold, in their order.
        sources: `<file>#<field>`, such as `runs/plain8-0/evaluation.json#test_error`.
    """

    how: How
    values: tuple[float, ...]
    sources: tuple[str, ...]

    @property
    def value(self) -> float:
        return HOW[self.how](self.values)

    def shown(self, pattern: str = "%.2f", scale: float = 1) -> Markup:
        """As HTML, by a printf pattern (or `,` for a whole number with commas), in units of `scale`."""
        value = self.value / scale
        text = f"{round(value):,}" if pattern == "," else (pattern % value).replace("-", "\N{MINUS SIGN}")
        return self.in_words(text, scale)

    def in_words(self, text: str, scale: float = 1) -> Markup:
        """As HTML, with a text of one's own for it, such as a duration's."""
        unit = Markup(' data-unit="{}"').format(f"{scale:g}") if scale != 1 else Markup("")
        how = Markup(' data-how="{}"').format(self.how) if self.how != "value" else Markup("")
        return Markup('<data value="{}" data-source="{}"{}{}>{}</data>').format(
            f"{self.value / scale:.10g}", " ".join(folded(self.sources)), how, unit, text
        )


def of_cell(cell: CellResult, measure: Measure) -> Number:
    """One cell's error, in percent."""
    return Number("value", (cell.errors[measure],), (measure_source(cell, measure),))


def of_network(network: NetworkResult, measure: Measure, how: How) -> Number | None:
    """An error over the seeds, in percent; None for the deviation of one seed."""
    if how == "deviation" and len(network.cells) == 1:
        return None
    return of_cells(network.cells, measure, how)


def of_cells(cells: Sequence[CellResult], measure: Measure, how: How) -> Number:
    """An error over any cells, in percent."""
    values = tuple(cell.errors[measure] for cell in cells)
    return Number(how, values, tuple(measure_source(cell, measure) for cell in cells))


def difference(first: NetworkResult, second: NetworkResult, measure: Measure) -> Number:
    """The second network's mean error minus the first's, in percentage points."""
    return of_cells((*first.cells, *second.cells), measure, "difference")


def of_file(cell: CellResult, file: str, field: str, value: float) -> Number:
    """A number that stands in one of a cell's files."""
    return Number("value", (value,), (source(cell, file, field),))


def of_card(card: DatasetCard, split: str) -> Number:
    """The images of a split."""
    return Number("value", (card.counts[split],), (f"{PreparedPaths().card.as_posix()}#counts.{split}",))


def of_record(cell: CellResult, stage: Literal["train", "evaluate"], field: str) -> Number | None:
    """A number of the record of this cell's run; None where it has none."""
    value = getattr(getattr(cell.record, stage, None), field, None)
    return None if value is None else Number("value", (value,), (record_source(cell, stage, field),))


def device_seconds(cells: Iterable[CellResult], stage: Literal["train", "evaluate"]) -> Number | None:
    """Wall time × devices, added up over the cells that have a record; None where none has."""
    values: list[float] = []
    sources: list[str] = []
    for cell in cells:
        executed = None if cell.record is None else getattr(cell.record, stage)
        if executed is not None:
            values += [executed.seconds, executed.devices]
            sources += [record_source(cell, stage, field) for field in ("seconds", "devices")]
    return Number("sum-of-products", tuple(values), tuple(sources)) if values else None


def record_source(cell: CellResult, stage: str, field: str) -> str:
    return f"{RECORDS}/{record_path(cell.cell, cell.train.fingerprint).name}#{stage}.{field}"


def against_paper(network: NetworkResult, published: float) -> Markup:
    """Mean test error minus a published one, in percentage points, as HTML; only where they are like for like."""
    mean = of_cells(network.cells, "test_error", "mean")
    text = f"{mean.value - published:+.2f}".replace("-", "\N{MINUS SIGN}")
    return Markup('<data value="{:.10g}" data-source="{}" data-how="mean" data-minus="{:g}">{}</data>').format(
        mean.value - published, " ".join(folded(mean.sources)), published, text
    )


def of_ensemble(ensemble: Ensemble) -> Markup:
    """The ensemble's test error as HTML; it is computed from the members' logits."""
    files = folded(source(cell, "logits.npy") for cell in ensemble.members)
    return Markup('<data value="{:.10g}" data-source="{}" data-how="ensemble">{:.2f}</data>').format(
        ensemble.error, " ".join(files), ensemble.error
    )


def confusion_sources(network: NetworkResult) -> str:
    return " ".join(folded(source(cell, "confusion.csv") for cell in network.cells))


def folded(sources: Iterable[str]) -> list[str]:
    """Sources, or names of cells, with neighbors that differ in the seed alone as one: `plain8-{0,1}`."""
    result: list[str] = []
    for (head, tail), group in groupby(sources, key=_around_seed):
        seeds = [each[len(head) : len(each) - len(tail)] for each in group]
        result.append(f"{head}{seeds[0] if len(seeds) == 1 else '{' + ','.join(seeds) + '}'}{tail}")
    return result


def _around_seed(source: str) -> tuple[str, str]:
    match = _SEED.fullmatch(source)
    return (match["head"], match["tail"]) if match else (source, "")


def measure_source(cell: CellResult, measure: Measure) -> str:
    return source(cell, _FILE_OF_MEASURE[measure], measure)


def source(cell: CellResult, file: str, field: str = "") -> str:
    """Such as `runs/plain8-0/evaluation.json#test_error`, whatever folder the files were read from."""
    return f"{(RUNS / cell.cell.name / file).as_posix()}{'#' if field else ''}{field}"


def shown(number: Number | None, pattern: str = "%.2f", scale: float = 1) -> Markup:
    """As HTML; nothing for None."""
    return escape("") if number is None else number.shown(pattern, scale)
