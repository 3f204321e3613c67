"""The report's tables as files: CSV with full precision for programs, LaTeX for papers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from resgrid.artifacts.files import csv_bytes
from resgrid.reporting.content import Content
from resgrid.reporting.formatting import number
from resgrid.reporting.results import Measure, NetworkResult, Results
from resgrid.reporting.seed_noise import ImagesOfOneKind, SeedNoise
from resgrid.reporting.selection import selections
from resgrid.reporting.statistics import Sample
from resgrid.reporting.time_to_error import times_to_errors
from resgrid.reporting.verdicts import Verdict

# A sample is a mean with its sample standard deviation.
Value = str | int | float | Sample | None

_LATEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "−": "$-$",
        "±": r"$\pm$",
        "×": r"$\times$",
        "→": r"$\to$",
    }
)


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        name: of the files, without suffix.
        columns: names for programs; a column's heading in LaTeX has spaces for underscores.
        rows: one value for each column.
    """

    name: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Value, ...]]

    def csv(self) -> bytes:
        """Return CSV; a column of samples is followed by a column `<name>_sd`, their sample standard deviations."""
        spread = {index for row in self.rows for index, value in enumerate(row) if isinstance(value, Sample)}
        header = [each for index, name in enumerate(self.columns) for each in _headings(name, index in spread)]
        rows = [
            [each for index, value in enumerate(row) for each in _numbers(value, index in spread)] for row in self.rows
        ]
        return csv_bytes(header, rows)

    def latex(self) -> bytes:
        """Return a `tabular` with rules of the package booktabs."""
        right = [all(not isinstance(row[index], str) for row in self.rows) for index in range(len(self.columns))]
        lines = [
            r"% needs \usepackage{booktabs}",
            rf"\begin{{tabular}}{{{''.join('r' if each else 'l' for each in right)}}}",
            r"\toprule",
            _latex_row(name.replace("_", " ") for name in self.columns),
            r"\midrule",
            *(_latex_row(map(_text, row)) for row in self.rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
        return ("\n".join(lines) + "\n").encode()


def report_tables(content: Content) -> list[Table]:
    """Return the tables that docs/report.md lists."""
    return [
        _verdicts(content.verdicts),
        _errors(content.results),
        _cost(content.results),
        _selection(content.results),
        _times_to_errors(content.results),
        _noise(content.noises),
        _images_of_one_kind(content.images_of_one_kind),
    ]


def _verdicts(verdicts: Iterable[Verdict]) -> Table:
    rows: list[tuple[Value, ...]] = []
    for verdict in verdicts:
        about = (verdict.key, verdict.claim, verdict.title, verdict.answer)
        rows += [
            (*about, item.label, item.value, *(item.interval or (None, None)), item.unit, item.p, item.n)
            for item in verdict.evidence
        ] or [(*about, "", *[None] * 6)]
    columns = ("key", "claim", "title", "answer", "quantity", "estimate", "low", "high", "unit", "p", "n")
    return Table("verdicts", columns, rows)


def _errors(results: Results) -> Table:
    measures: tuple[Measure, ...] = (
        *("test_error", "train_error", "val_error"),
        *(("test_top5_error",) if results.has_top5 else ()),
        *("selected_val_error", "selected_test_error"),
    )
    rows = [
        (*_about(network), network.parameters, *(network.errors.get(measure) for measure in measures))
        for network in results.by_depth
    ]
    return Table("errors", ("network", "depth", "n", "parameters", *measures), rows)


def _cost(results: Results) -> Table:
    fields = ("parameters", "multiply_adds", "activation_bytes", "receptive_field")
    rows = [
        (
            *_about(network),
            *(getattr(network.complexity, field, None) for field in fields),
            network.errors["test_error"],
        )
        for network in results.by_depth
    ]
    return Table("cost", ("network", "depth", "n", *fields, "test_error"), rows)


def _selection(results: Results) -> Table:
    rows = [
        (
            *(row.network, row.final, row.validation_selected, row.best_by_validation),
            *(row.test_selected_weights, row.test_selected_run, row.test_selected),
            *(row.inflation, row.expected_inflation, row.optimism),
        )
        for row in selections(results)
    ]
    columns = (
        *("network", "final_weights", "weights_by_validation", "run_and_weights_by_validation"),
        *("test_selected_weights", "test_selected_run", "test_selected_run_and_weights"),
        *("inflation", "inflation_expected_by_chance", "optimism_of_validation"),
    )
    return Table("selection", columns, rows)


def _times_to_errors(results: Results) -> Table:
    rows: list[tuple[Value, ...]] = [
        (name, time.target, time.steps, time.seconds)
        for name, times in times_to_errors(results).items()
        for time in times
        if time is not None
    ]
    return Table("time-to-error", ("network", "val_error", "steps", "seconds"), rows)


def _noise(noises: Iterable[SeedNoise]) -> Table:
    rows = [
        (*_about(row.network), row.deviation, row.of_test_set, row.rest, row.churn, row.calibration_error)
        for row in noises
    ]
    parts = ("deviation", "deviation_by_test_set", "rest_of_deviation", "churn", "calibration_error")
    return Table("noise", ("network", "depth", "n", *parts), rows)


def _images_of_one_kind(pairs: Iterable[ImagesOfOneKind]) -> Table:
    rows = [
        (row.plain.name, row.residual.name, row.both, len(row.only_residual), len(row.only_plain), row.neither)
        for row in pairs
    ]
    columns = ("plain", "residual", "both_right", "only_residual_right", "only_plain_right", "neither_right")
    return Table("images-of-one-kind", columns, rows)


def _about(network: NetworkResult) -> tuple[str, int | None, int]:
    return network.name, network.depth, len(network.cells)


def _headings(name: str, spread: bool) -> list[str]:
    return [name, f"{name}_sd"] if spread else [name]


def _numbers(value: Value, spread: bool) -> list[Value]:
    if not spread:
        return [value]
    return [value.mean, value.standard_deviation] if isinstance(value, Sample) else [value, None]


def _text(value: Value) -> str:
    match value:
        case None:
            return ""
        case Sample():
            deviation = value.standard_deviation
            return number(value.mean, "%") + ("" if deviation is None else f" ± {number(deviation, '%')}")
        case int():
            return f"{value:,}"
        case float():
            return number(value, "%") if abs(value) >= 0.01 or value == 0 else f"{value:.1e}".replace("-", "−")
    return value


def _latex_row(texts: Iterable[str]) -> str:
    return " & ".join(text.translate(_LATEX) for text in texts) + r" \\"
