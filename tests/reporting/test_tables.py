"""The report's tables and verdicts as files for programs and papers."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

from resgrid.reporting.statistics import Sample
from resgrid.reporting.tables import Table

if TYPE_CHECKING:
    from tests.reporting.conftest import MakeStudy

TABLE = Table(
    "t", ("network", "test_error", "p"), [("a_b & c", Sample((1.0, 3.0)), 0.0004), ("d", Sample((5.0,)), None)]
)


def test_csv_has_full_precision_and_a_column_for_standard_deviations() -> None:
    assert list(csv.reader(io.StringIO(TABLE.csv().decode()))) == [
        ["network", "test_error", "test_error_sd", "p"],
        ["a_b & c", "2.0", "1.4142135623730951", "0.0004"],
        ["d", "5.0", "", ""],
    ]


def test_latex_has_rounded_numbers_and_escapes_text() -> None:
    assert TABLE.latex().decode().splitlines()[1:] == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"network & test error & p \\",
        r"\midrule",
        r"a\_b \& c & 2.00 $\pm$ 1.41 & 4.0e$-$04 \\",
        r"d & 5.00 &  \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_a_report_writes_its_tables_and_verdicts(make_study: MakeStudy) -> None:
    folder = make_study().report()
    assert sorted(path.name for path in (folder / "tables").iterdir()) == [
        f"{name}.{suffix}"
        for name in ("cost", "errors", "images-of-one-kind", "noise", "selection", "time-to-error", "verdicts")
        for suffix in ("csv", "tex")
    ]
    errors = list(csv.DictReader((folder / "tables/errors.csv").read_text().splitlines()))
    assert [(row["network"], row["n"], row["test_error"]) for row in errors][2] == ("plain20", "2", "7.0")
    written = json.loads((folder / "verdicts.json").read_text())
    assert written["preset"] == "digits"
    degradation = written["verdicts"][0]
    assert degradation["claim"] == "degradation"
    training_error = degradation["evidence"][0]
    assert training_error == {
        "quantity": "plain8, training error",
        "estimate": 0.5,
        "n": 2,
        "interval": training_error["interval"],
        "unit": "%",
        "p": None,
        "cells": ["plain8-0", "plain8-1"],
    }
