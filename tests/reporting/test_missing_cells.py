"""A preliminary report names the cells that it lacks, and judges no network by a part of its seeds."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from resgrid.cells import Cell

if TYPE_CHECKING:
    from tests.reporting.conftest import MakeStudy

OUTCOMES = {
    "plain8": [(0.25, 4), (0.75, 6), (0.5, 5)],
    "plain20": [(6.0, 24), (8.0, 32), (9.0, 36)],
    "resnet8-A": [(0.0, 2), (0.0, 4), (0.0, 3)],
}


def test_missing_cells_are_named_and_never_read(make_study: MakeStudy) -> None:
    study, missing = make_study(OUTCOMES, analyses=True), Cell("plain20", 2)
    shutil.rmtree(study.paths("plain20", 2).metrics.parent)
    reports = study.report(missing)
    assert "<strong>Preliminary: 1 of 9 cells are missing:</strong> plain20-2." in (reports / "index.html").read_text()
    assert "**Preliminary: 1 of 9 cells are missing:** plain20-2." in (reports / "report.md").read_text()
    summary = json.loads((reports / "summary.json").read_text())
    assert [network["seeds"] for network in summary["networks"]] == [[0, 1, 2], [0, 1], [0, 1, 2]]


def test_a_whole_grid_is_not_preliminary(make_study: MakeStudy) -> None:
    reports = make_study(OUTCOMES).report()
    assert "reliminary" not in (reports / "index.html").read_text() + (reports / "report.md").read_text()


def test_verdicts_leave_out_a_network_that_lacks_a_seed(make_study: MakeStudy) -> None:
    study = make_study(OUTCOMES)
    assert {verdict.key: verdict.answer for verdict in study.content().verdicts}["shallow-equivalent"] != "not tested"
    verdicts = {verdict.key: verdict for verdict in study.content(Cell("resnet8-A", 1)).verdicts}
    assert verdicts["shallow-equivalent"].answer == "not tested"


def test_a_network_without_any_cell_is_left_out(make_study: MakeStudy) -> None:
    study = make_study(OUTCOMES)
    page = (study.report(*(Cell("plain20", seed) for seed in range(3))) / "index.html").read_text()
    assert "3 of 9 cells are missing:</strong> plain20-{0,1,2}." in page
    assert 'data-network="plain20"' not in page
