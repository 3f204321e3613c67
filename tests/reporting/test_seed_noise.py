"""The noise floor, churn, calibration and images of one kind, on predictions small enough to compute by hand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from resgrid.cells import Cell
from resgrid.reporting.formatting import number, percent
from resgrid.reporting.seed_noise import calibration_error, churn, split_deviation

if TYPE_CHECKING:
    from tests.reporting.conftest import MakeStudy


def test_the_deviation_is_split_as_jordan_does() -> None:
    wrong = np.array([[1, 0, 0, 0], [1, 1, 1, 0]], dtype=bool)  # errors of 25% and 75%
    deviation, of_test_set, rest = split_deviation(wrong)
    assert deviation**2 == pytest.approx(1250)
    assert of_test_set**2 == pytest.approx(2 * 5000 / 16)  # two images have the variance 0.5 over the seeds
    assert rest**2 == pytest.approx(4 / 3 * (1250 - 625))


def test_seeds_of_equal_quality_leave_no_rest() -> None:
    wrong = np.random.default_rng(0).random((400, 500)) < 0.1
    deviation, of_test_set, rest = split_deviation(wrong)
    assert of_test_set == pytest.approx(100 * np.sqrt(0.09 / 500), rel=0.01)
    assert deviation == pytest.approx(of_test_set, rel=0.1)
    assert rest < 0.5 * deviation


def test_a_true_difference_between_seeds_is_the_rest() -> None:
    random = np.random.default_rng(0)
    rates = random.normal(0.2, 0.03, (300, 1))
    _, _, rest = split_deviation(random.random((300, 2000)) < rates)
    assert rest == pytest.approx(3.0, rel=0.1)


def test_churn_counts_pairs_of_seeds() -> None:
    answers = np.array([[0, 1, 2, 3], [0, 1, 2, 0], [0, 1, 0, 1]])
    assert churn(answers) == pytest.approx(100 * (1 + 2 + 2) / 3 / 4)


def test_the_calibration_error_compares_confidence_with_accuracy() -> None:
    sure = np.log([[0.9, 0.1]] * 10)
    assert calibration_error(sure, np.array([0] * 9 + [1])) == pytest.approx(0, abs=1e-9)
    assert calibration_error(sure, np.zeros(10, dtype=np.int64)) == pytest.approx(10)
    assert calibration_error(np.full((4, 2), np.nan), np.array([0, 0, 1, 1])) == pytest.approx(0)


def test_the_page_shows_the_noise_of_each_network(make_study: MakeStudy) -> None:
    study = make_study()
    content = study.content()
    shown = dict(re.findall(r'<tr data-claim="noise-(\S+)">(.*?)</tr>', study.page(), re.DOTALL))
    assert list(shown) == ["plain8", "resnet8-A", "plain20", "resnet20-A"]
    for row in content.noises:
        words = [re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", shown[row.network.name])]
        values = (row.deviation, row.of_test_set, row.rest, row.churn)
        assert words == [*(number(value, "%") for value in values), percent(row.calibration_error)]


def test_images_of_one_kind_are_those_that_most_seeds_agree_on(make_study: MakeStudy) -> None:
    study = make_study({"plain8": [(1, 4)] * 3, "resnet8-A": [(1, 0)] * 3})
    for seed in (1, 2):  # seeds differ in which images are wrong; now the first has its images wrong in most
        study.write_cell(Cell("plain8", seed), 1, 0)
    study.write_cell(Cell("plain8", 1), 1, 4)
    (pair,) = study.content().images_of_one_kind
    assert (pair.plain.name, pair.residual.name) == ("plain8", "resnet8-A")
    wrong = [set(np.random.default_rng(seed).permutation(400)[:4].tolist()) for seed in (0, 1)]
    assert set(pair.only_residual) == wrong[0] & wrong[1]
    assert pair.only_plain == ()
    assert pair.both == 400 - len(pair.only_residual)
