"""A training that diverged is marked and left out; the healthy cells are reported as without it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from resgrid.reporting.paper_comparison import compare_with_published

if TYPE_CHECKING:
    from tests.reporting.conftest import MakeStudy

OUTCOMES = {
    "plain8": [(0.25, 4), (0.75, 6), (0.5, 5)],
    "plain20": [(6.0, 24), (8.0, 32), (90.0, 360)],
    "resnet8-A": [(0.0, 2), (0.0, 4), (0.0, 3)],
}


@pytest.mark.parametrize("number", ["null", "NaN", "Infinity"])
def test_a_diverged_seed_is_marked_and_left_out(make_study: MakeStudy, number: str) -> None:
    study = make_study(OUTCOMES, analyses=True)
    study.diverge("plain20", 2, number)
    results = study.results()
    assert [cell.cell.name for cell in results.diverged] == ["plain20-2"]
    assert results.networks[1].errors["test_error"].values == (6.0, 8.0)
    reports = study.report()
    page = (reports / "index.html").read_text()
    assert "<strong>1 of 9 cells diverged:</strong> plain20-2." in page
    assert '<tr id="plain20-2" class="first"><th scope="row">plain20-2</th><td colspan="7"><span' in page
    assert page.count('<span class="fewer">n = 2</span>') > 5
    assert ">nan<" not in page
    assert "**1 of 9 cells diverged** and are left out: plain20-2." in (reports / "report.md").read_text()
    assert "(n = 2)" in (reports / "report.md").read_text()
    summary = json.loads((reports / "summary.json").read_text())
    assert [cell["diverged"] for cell in summary["cells"]] == [False] * 8 + [True]
    assert summary["cells"][-1]["test_loss"] is None
    assert summary["networks"][1]["seeds"] == [0, 1]


def test_verdicts_leave_out_a_network_with_a_diverged_seed(make_study: MakeStudy) -> None:
    study = make_study(OUTCOMES)
    answers = {verdict.key: verdict.answer for verdict in study.content().verdicts}
    assert answers["shallow-equivalent"] != "not tested"
    study.diverge("resnet8-A", 1)
    verdicts = {verdict.key: verdict for verdict in study.content().verdicts}
    assert verdicts["shallow-equivalent"].answer == "not tested"
    del verdicts["ensemble"]
    assert not any("resnet8-A" in cell for each in verdicts.values() for row in each.evidence for cell in row.cells)


def test_a_network_whose_every_seed_diverged_is_in_the_list_of_runs_only(make_study: MakeStudy) -> None:
    study = make_study(OUTCOMES)
    for seed in range(3):
        study.diverge("plain20", seed)
    page = study.page()
    assert "3 of 9 cells diverged:</strong> plain20-{0,1,2}." in page
    assert 'data-network="plain20"' not in page
    assert [network.name for network in study.results().networks] == ["plain8", "resnet8-A"]


def test_a_grid_that_diverged_altogether_has_a_report(make_study: MakeStudy) -> None:
    study = make_study({"resnet20-A": [(90.0, 360), (90.0, 360)]}, data="cifar10")
    for seed in range(2):
        study.diverge("resnet20-A", seed)
    reports = study.report()
    names = ["figures", "index.html", "report.md", "summary.json", "tables", "verdicts.json"]
    assert sorted(path.name for path in reports.iterdir()) == names
    assert list((reports / "figures").iterdir()) == []
    page = (reports / "index.html").read_text()
    assert "There is nothing to report but the runs." in page
    assert page.count('<span class="badge contradicted">diverged</span>') == 2
    assert compare_with_published(study.results(), study.config, study.card) == []


def test_an_ensemble_needs_two_cells_that_did_not_diverge(make_study: MakeStudy) -> None:
    named = [{"name": "plain8, two seeds", "cells": ["plain8-0", "plain8-1"]}]
    study = make_study(OUTCOMES, report={"ensembles": named})
    study.diverge("plain8", 1)
    ensembles = {each.name: len(each.members) for each in study.content().ensembles}
    assert ensembles == {"plain8": 2, "plain20": 3, "resnet8-A": 3}
