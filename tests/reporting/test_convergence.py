"""Verdicts need networks that converged: clearly below guessing, and flat at the end."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from resgrid.cells import Cell
from resgrid.reporting.claims import judge
from resgrid.reporting.convergence import convergence, have_converged
from resgrid.reporting.results import CellResult, NetworkResult, Results
from support.synthetic import STEPS, Maker, Truth

if TYPE_CHECKING:
    from tests.reporting.conftest import Study

GUESSING = Truth(90, 90)


def network(*cells: CellResult) -> NetworkResult:
    return NetworkResult("plain20", cells)


def cell(train_error: float = 5.0, errors: list[float] | None = None, images: list[int] | None = None) -> CellResult:
    """A cell of ten balanced classes with this training error, and this curve over steps 100, 200, …"""
    (result,) = Maker(0, noise=0).grid({"plain20": Truth(train_error, 9)}, 1).cells
    if errors is not None:
        curve = pd.DataFrame({"step": 100 * np.arange(1, len(errors) + 1), "train/error": errors})
        result = replace(result, curve=curve)
    return result if images is None else replace(result, confusion=np.diag(images))


@pytest.mark.parametrize(("train_error", "started"), [(90.0, False), (80.5, False), (79.5, True)])
def test_a_network_starts_below_eight_ninths_of_guessing(train_error: float, started: bool) -> None:
    assert (not convergence(network(cell(train_error))).not_started) is started


def test_guessing_is_the_most_frequent_class() -> None:
    only = cell(24.0, images=[300, 100])
    found = convergence(network(only))
    assert (found.guessing, found.not_started) == (25.0, [only])


@pytest.mark.parametrize(
    ("last", "change", "flat"),
    [
        ([20, 20, 20, 20], 0.0, True),
        ([21, 20, 19, 18], -4.0, False),  # a fifth of 19.5 is 3.9
        ([22, 21, 20, 19], -4.0, True),  # a fifth of 20.5 is 4.1
        ([3, 2.6, 2.2, 1.8], -1.6, True),
        ([3.3, 2.7, 2.1, 1.5], -2.4, False),
        ([18, 19, 20, 21], 4.0, True),
    ],
)
def test_flat_is_a_fall_of_at_most_2_points_or_a_fifth(last: list[float], change: float, flat: bool) -> None:
    found = convergence(network(cell(errors=[60.0] * 12 + last)))
    assert found.change == pytest.approx(change)
    assert found.flat is flat


def test_seeds_are_averaged_before_the_end_is_judged() -> None:
    falling, rising = (cell(errors=[60.0] * 12 + last) for last in ([5.0, 4.0, 3.0, 2.0], [2.0, 2.0, 3.0, 3.0]))
    rising = replace(rising, cell=Cell("plain20", 1))
    assert not convergence(network(falling)).flat
    found = convergence(network(falling, rising))
    assert found.change == pytest.approx(-1.2)
    assert found.flat
    assert have_converged([falling, rising])
    assert not have_converged([falling])


def test_two_validations_are_too_few() -> None:
    found = convergence(network(cell(errors=[5.0, 5.0])))
    assert (found.change, found.flat) == (None, False)
    assert found.problem == "too few validations to judge the end of training"
    assert convergence(network(cell(errors=[5.0] * 3))).problem == ""


def test_a_network_that_never_started_reproduces_nothing() -> None:
    truths = {"plain20": Truth(3, 9), "plain56": GUESSING, "resnet20-A": Truth(3, 9), "resnet56-A": Truth(1, 7)}
    found = {verdict.key: verdict for verdict in judge(Maker(0, noise=0.1).grid(truths, 5))}
    for key in ("degradation", "not-overfitting", "shortcuts-help-depth-56"):
        assert found[key].answer == "not converged"
    verdict = found["shortcuts-help-depth-56"]
    assert re.fullmatch(
        r"Not converged: plain56 \(seed 0: training error [89]\d\.\d\d%, where guessing gives 90\.00%; seed 1: .*\)\.",
        verdict.sentence,
    )
    assert [row.label for row in verdict.evidence] == ["plain56, training error"]
    assert found["residual-depth-option-A"].answer == "reproduced"


def test_one_seed_that_fails_is_enough() -> None:
    grid = Maker(0, noise=0.1).grid({"plain20": Truth(3, 9), "plain56": Truth(9, 14)}, 5)
    plain20, plain56 = grid.networks
    stuck = replace(plain56.cells[4], train=plain56.cells[4].train.model_copy(update={"train_error": 89.0}))
    networks = (plain20, NetworkResult("plain56", (*plain56.cells[:4], stuck)))
    assert judge(grid)[0].answer == "reproduced"
    verdict = judge(Results(networks))[0]
    assert verdict.answer == "not converged"
    assert "plain56 (seed 4: training error 89.00%, where guessing gives 90.00%)" in verdict.sentence


def test_a_training_error_that_still_falls_is_not_converged() -> None:
    grid = Maker(0, noise=0.1).grid({"plain20": Truth(3, 9), "plain56": Truth(9, 14)}, 5)
    falling = tuple(
        replace(each, curve=each.curve.assign(**{"train/error": np.linspace(60, 20, len(STEPS))}))
        for each in grid.networks[1].cells
    )
    verdict = judge(Results((grid.networks[0], NetworkResult("plain56", falling))))[0]
    assert verdict.answer == "not converged"
    assert "training error still changes by \N{MINUS SIGN}10.53 points at the end" in verdict.sentence


def test_a_verdict_on_other_networks_names_those_left_out() -> None:
    truths = {"plain8": Truth(1, 3), "plain20": Truth(3, 9), "plain56": GUESSING}
    verdict = judge(Maker(0, noise=0.1).grid(truths, 5))[0]
    assert verdict.answer == "reproduced"
    assert verdict.sentence.startswith("plain20 has a higher training error than plain8: +2.")
    assert " Not converged, left out: plain56 (seed 0: " in verdict.sentence


def test_the_page_has_the_numbers_of_each_network(analyzed: Study) -> None:
    page = analyzed.page()
    for result in analyzed.results().networks:
        found = convergence(result)
        row = re.search(rf'<tr data-claim="convergence-{result.name}">(.*?)</tr>', page)
        assert row is not None
        _, *cells = [re.sub("<[^>]*>", "", text) for text in re.findall("<td.*?</td>", row[1])]
        assert found.change is not None
        minus = "\N{MINUS SIGN}"
        change, allowed = (f"{value:+.2f}".replace("-", minus) for value in (found.change, -found.allowed))
        assert cells == ["90.00", change, allowed, "no: " + found.problem if found.problem else "yes"]
