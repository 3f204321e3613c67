"""Valid and test-selected errors, on numbers computed by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from resgrid.reporting.selection import Selection, selections

if TYPE_CHECKING:
    from tests.reporting.conftest import MakeStudy

# By seed: test error of the last weights (of 400 images), test error of the selected ones, validation errors likewise.
LAST, SELECTED = (10.0, 12.0, 11.0), (11.0, 9.5, 11.0)
VAL_LAST, VAL_SELECTED = (13.0, 14.0, 12.0), (11.5, 12.0, 11.5)


@pytest.fixture
def selection(make_study: MakeStudy) -> Selection:
    study = make_study({"plain8": [(1.0, round(4 * error)) for error in LAST]}, records=False)
    for seed in range(3):
        paths = study.paths("plain8", seed)
        evaluation, metrics = json.loads(paths.evaluation.read_text()), json.loads(paths.metrics.read_text())
        evaluation["selected_test_error"] = SELECTED[seed]
        metrics |= {"val_error": VAL_LAST[seed], "selected_val_error": VAL_SELECTED[seed]}
        paths.evaluation.write_text(json.dumps(evaluation))
        paths.metrics.write_text(json.dumps(metrics))
    (selection,) = selections(study.results())
    return selection


def test_valid_selection(selection: Selection) -> None:
    assert selection.network == "plain8"
    assert selection.final.mean == 11
    assert selection.validation_selected.values == SELECTED
    assert selection.best_by_validation == 11.0  # of seed 0, the first of the two with 11.5 % on the validation images


def test_selection_by_test_error(selection: Selection) -> None:
    assert selection.test_selected_weights.values == (10.0, 9.5, 11.0)
    assert selection.test_selected_run == 10.0
    assert selection.test_selected == 9.5
    assert selection.inflation == pytest.approx(1.5)
    assert selection.inflation_by_run == pytest.approx(1.0)
    # Of three: 0.846284 true standard deviations, of which the sample's, 1, is 0.886227 on average.
    assert selection.expected_inflation == pytest.approx(0.846284 / 0.886227)


def test_gains_of_selecting_the_step(selection: Selection) -> None:
    assert selection.validation_gain.values == (1.5, 2.0, 0.5)
    assert selection.test_gain.values == (-1.0, 2.5, 0.0)
    assert selection.optimism == pytest.approx(4 / 3 - 0.5)


def test_two_runs_say_nothing_about_chance(make_study: MakeStudy) -> None:
    """Of any two numbers, the lower lies half their difference below their mean."""
    (selection,) = selections(make_study({"plain8": [(1.0, 40), (1.0, 44)]}, records=False).results())
    assert selection.inflation_by_run == pytest.approx(0.5)
    assert selection.expected_inflation is None


def test_one_run_can_still_select_weights(make_study: MakeStudy) -> None:
    (selection,) = selections(make_study({"plain8": [(1.0, 40)]}, records=False).results())
    assert selection.inflation == selection.inflation_by_run == 0
    assert selection.expected_inflation is None


def test_each_network_has_a_row_by_depth(make_study: MakeStudy) -> None:
    results = make_study({"plain20": [(1.0, 8)], "resnet8-A": [(1.0, 8)], "plain8": [(1.0, 8)]}).results()
    assert [row.network for row in selections(results)] == ["plain8", "resnet8-A", "plain20"]
