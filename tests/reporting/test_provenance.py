"""Every number on the page leads to a file, and the file says the same."""

from __future__ import annotations

import csv
import json
import math
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from scipy import special

from resgrid.cells import Cell
from resgrid.reporting.formatting import number as in_words
from resgrid.reporting.formatting import percent, with_unit
from resgrid.reporting.provenance import HOW
from resgrid.reporting.selection import selections

if TYPE_CHECKING:
    from pathlib import Path

    from tests.reporting.conftest import MakeStudy, Study

# Numbers in running text, in the cells of tables and in the charts; those of words ("Fig. 1") have no source.
SHOWN = re.compile(r"[+\u2212]?[0-9][0-9,]*(\.[0-9]+)?(e[+-]?[0-9]+)?")


class Numbers(HTMLParser):
    """The elements that name their sources, each with its text, and the numbers in tables that name none."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []
        self.without: list[str] = []
        self._open: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self._open.append((tag, attributes))
        if "data-source" in attributes:
            self.found.append(attributes | {"tag": tag, "text": ""})

    def handle_endtag(self, tag: str) -> None:
        while self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] == "data" and "data-source" in self._open[-1][1]:
            self.found[-1]["text"] += data
        elif self._open and self._open[-1][0] == "td" and re.search(r"[0-9]\.[0-9]", data) and not self._exempt():
            self.without.append(data.strip())

    def _exempt(self) -> bool:
        """Versions of packages, the paper's numbers, and the numbers of a claim, which have a test of their own."""
        return self._open[-1][1].get("class") in ("wrap", "number paper") or any(
            "data-claim" in attributes for _, attributes in self._open
        )


@pytest.fixture(scope="module")
def page(analyzed: Study) -> str:
    return analyzed.page()


def file_of(root: Path, address: str) -> Path:
    """Records are where `RESGRID_STATE` puts them."""
    return root / address.replace(".resgrid/", "state/", 1)


def expanded(sources: str) -> list[str]:
    """As a shell would: `a{0,1}b` is a0b and a1b."""
    result: list[str] = []
    for source in sources.split():
        head, _, rest = source.partition("{")
        choices, _, tail = rest.partition("}")
        result += [f"{head}{choice}{tail}" for choice in choices.split(",")]
    return result


def follow(root: Path, source: str) -> float:
    """The one number that a source names: a field of a JSON file, by dots."""
    address, _, field = source.partition("#")
    value: Any = json.loads(file_of(root, address).read_text())
    for part in field.split("."):
        value = value[part]
    return value


def follow_column(root: Path, source: str) -> list[float]:
    """The column of a CSV file that a source names, `<column>` or `<column>@<other column>=<value>`."""
    address, _, field = source.partition("#")
    column, _, condition = field.partition("@")
    with file_of(root, address).open() as file:
        rows = list(csv.DictReader(file))
    if condition:
        other, _, wanted = condition.partition("=")
        rows = [row for row in rows if row[other] == wanted]
    return [float(row[column] or "nan") for row in rows]


def ensemble_error(root: Path, sources: list[str]) -> float:
    votes = sum(special.softmax(np.load(root / source).astype(float), axis=1) for source in sources)
    labels = pd.read_csv(root / sources[0].replace("logits.npy", "confusion.csv"), dtype=str)["actual"]
    return 100 * float(np.mean(np.argmax(votes, axis=1) != labels.astype(int)))


def disagreements(root: Path, page: str) -> list[dict[str, str]]:
    """The numbers whose files say something else than the page."""
    found: list[dict[str, str]] = []
    for number in Numbers(page).found:
        if number["tag"] != "data":
            continue
        if number.get("data-how") == "ensemble":
            value = ensemble_error(root, expanded(number["data-source"]))
            if not math.isclose(float(number["value"]), value, rel_tol=1e-9, abs_tol=1e-12):
                found.append(number | {"file": str(value)})
            continue
        values = [follow(root, source) for source in expanded(number["data-source"])]
        value = HOW[number.get("data-how", "value")](values) / float(number.get("data-unit", 1))
        value -= float(number.get("data-minus", 0))
        if not math.isclose(float(number["value"]), value, rel_tol=1e-9, abs_tol=1e-12):
            found.append(number | {"file": str(value)})
        elif SHOWN.fullmatch(number["text"]):
            shown = float(number["text"].replace("\u2212", "-").replace(",", ""))
            decimals = len(number["text"].partition(".")[2])
            if abs(shown - value) > 0.5000001 * 10**-decimals and shown != float(f"{value:.3g}"):
                found.append(number | {"file": str(value)})
    return found


def test_every_number_is_what_its_files_say(make_study: MakeStudy) -> None:
    study = make_study(analyses=True)
    page = study.page()
    assert page.count("<data value=") > 150
    assert disagreements(study.root, page) == []
    study.write_cell(Cell("plain20", 1), 8.0, 33)  # one image more
    wrong = disagreements(study.root, page)
    assert wrong
    assert all(any("runs/plain20-1/" in source for source in expanded(each["data-source"])) for each in wrong)


def test_no_number_in_a_table_is_without_a_source(analyzed: Study, page: str) -> None:
    assert Numbers(page).without == []


def test_every_line_of_an_analysis_is_the_mean_of_its_files(analyzed: Study, page: str) -> None:
    lines = [each for each in Numbers(page).found if each["tag"] == "path"]
    assert len(lines) == 4 * 2 + 4 * 6 + 2 + 4  # responses twice, gradients six times, residuals, lesions
    for line in lines:
        columns = [follow_column(analyzed.root, source) for source in expanded(line["data-source"])]
        means = [sum(values) / len(values) for values in zip(*columns, strict=True)]
        shown = [float(text) for text in line["data-ys"].split()]
        if shown == sorted(shown, reverse=True):
            means.sort(reverse=True)
        assert shown == pytest.approx(means, rel=1e-3), line["data-source"]


def test_every_marker_of_a_chart_is_the_mean_of_its_files(analyzed: Study, page: str) -> None:
    marks = [each for each in Numbers(page).found if each["tag"] == "g"]
    assert len(marks) == 4 + 4 * 2 + 4 * 2 + 4  # overview, by depth, by cost, whole networks beside their blocks
    for mark in marks:
        sources = expanded(mark["data-source"])
        follow_one = follow if ".json#" in sources[0] else lambda root, source: follow_column(root, source)[0]
        values = [follow_one(analyzed.root, source) for source in sources]
        assert float(mark["data-y"]) == pytest.approx(sum(values) / len(values), rel=1e-9)


def test_the_curves_for_the_script_are_the_files(analyzed: Study, page: str) -> None:
    text = re.search(r'<script type="application/json" id="curve-data">(.*?)</script>', page)
    assert text is not None
    data = json.loads(text[1])
    assert len(data["cells"]) == 8
    for name, cell in data["cells"].items():
        path = f"runs/{name}/curve.csv"
        assert data["steps"][cell["steps"]] == follow_column(analyzed.root, f"{path}#step")
        for column in ("train/error", "val/error"):
            assert cell[column] == pytest.approx(follow_column(analyzed.root, f"{path}#{column}"), abs=0.00501)


def test_the_numbers_in_the_confusions_are_counts_of_the_files(analyzed: Study, page: str) -> None:
    maps = re.findall(r'<div data-network="\S+" data-source="(.*?)">(.*?)</svg>', page, re.DOTALL)
    assert len(maps) == 4
    for sources, text in maps:
        rows: list[dict[str, str]] = []
        for source in expanded(sources):
            with file_of(analyzed.root, source).open() as file:
                rows += csv.DictReader(file)
        shown = re.findall(r'data-pair="(\d+) (\d+)"[^>]*>(\d+)<', text)
        assert len(shown) >= 10
        for actual, predicted, share in shown:
            of_class = [row for row in rows if row["actual"] == analyzed.card.classes[int(actual)]]
            hits = sum(row["predicted"] == analyzed.card.classes[int(predicted)] for row in of_class)
            assert math.isclose(100 * hits / len(of_class), int(share), abs_tol=0.501)


def test_the_numbers_of_a_claim_are_those_of_the_verdict_and_name_its_cells(analyzed: Study, page: str) -> None:
    results = analyzed.results()
    cells = {cell.cell.name for cell in results.cells}
    count = 0
    for verdict in analyzed.content().verdicts:
        rows = re.findall(rf'<tr data-claim="{verdict.key}" data-cells="(.*?)">(.*?)</tr>', page, re.DOTALL)
        for evidence, (named, row) in zip(verdict.evidence, rows, strict=True):
            count += 1
            assert set(expanded(named)) == set(evidence.cells) <= cells
            assert with_unit(evidence.value, evidence.unit) in row
            if evidence.interval:
                low, high = (in_words(end, evidence.unit) for end in evidence.interval)
                assert f"{low} to {high}" in row
    assert count > 10


def test_the_numbers_of_selection_are_those_of_the_cells(analyzed: Study, page: str) -> None:
    rows = {row.network: row for row in selections(analyzed.results())}
    shown = dict(re.findall(r'<tr data-claim="selection-(\S+)">(.*?)</tr>', page, re.DOTALL))
    assert shown.keys() == rows.keys()
    for name, row in rows.items():
        cells = re.findall(r"<td[^>]*>(.*?)</td>", shown[name], re.DOTALL)
        words = [re.sub("<[^>]*>", "", cell) for cell in cells]
        assert words == [
            percent(row.final),
            percent(row.validation_selected),
            in_words(row.best_by_validation, "%"),
            percent(row.test_selected_weights),
            in_words(row.test_selected_run, "%"),
            in_words(row.test_selected, "%"),
            in_words(row.inflation, "%"),
            "" if row.expected_inflation is None else in_words(row.expected_inflation, "%"),
            in_words(row.optimism, "points"),
        ]
