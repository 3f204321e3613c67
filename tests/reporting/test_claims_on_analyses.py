"""Verdicts on the speed of convergence, gradients and responses of synthetic grids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from resgrid.artifacts.cell_files import CURVE_COLUMNS
from resgrid.reporting.claims import judge
from resgrid.reporting.claims.speed import steps_to
from resgrid.reporting.results import NetworkResult, Results
from resgrid.reporting.verdicts import Verdict
from support.synthetic import Maker, Truth


def verdicts(results: Results) -> dict[str, Verdict]:
    return {verdict.key: verdict for verdict in judge(results)}


# Convergence.


def curve_of(errors: list[float], rates: list[float] | None = None) -> pd.DataFrame:
    table = pd.DataFrame(0.0, index=range(len(errors)), columns=list(CURVE_COLUMNS))
    table["step"] = np.arange(1, len(errors) + 1) * 100
    table["val/error"] = errors
    table["lr"] = rates or [0.1] * len(errors)
    return table


@pytest.mark.parametrize(("target", "steps"), [(80, 100), (60, 100), (50, 133.33333), (30, 200), (20, 300), (25, 250)])
def test_steps_are_interpolated_between_validations(target: float, steps: float) -> None:
    assert steps_to(curve_of([60, 30, 20, 40, 10]), target) == pytest.approx(steps)


def test_a_target_that_is_never_reached_is_an_error() -> None:
    with pytest.raises(ValueError, match="target: 5: the lowest validation error is 10"):
        steps_to(curve_of([60, 10]), 5)


def twins_with_curves(plain: pd.DataFrame, residual: pd.DataFrame) -> Verdict:
    """The verdict on convergence for these curves, two seeds of each; ten classes."""
    curves = {"plain20": plain, "resnet20-A": residual}
    grid = Maker(0).grid(dict.fromkeys(curves, Truth(5, 9)), 2)
    networks = tuple(
        NetworkResult(network.name, tuple(replace(cell, curve=curves[network.name]) for cell in network.cells))
        for network in grid.networks
    )
    return verdicts(Results(networks))["shallow-faster"]


def test_the_target_lies_where_every_run_gets_before_the_rate_drops() -> None:
    """The worst of the runs gets to 20 % before the drop, so the target is 30 %: after 200 and after 150 steps."""
    rates = [0.01, 0.1, 0.1, 0.01, 0.01]  # a warm-up is no drop
    verdict = twins_with_curves(curve_of([70, 30, 20, 5, 5], rates), curve_of([45, 15, 10, 1, 1], rates))
    assert verdict.evidence[0].label == "plain20 → resnet20-A, number of steps to a validation error of 30.00%"
    assert verdict.evidence[0].value == pytest.approx(150 / 200)
    assert verdict.answer == "inconclusive"  # two equal ratios are no proof


def test_the_target_stays_below_guessing() -> None:
    """One and a half times 70 % is no error of a network: halfway from there to the 90 % of guessing is 80 %."""
    verdict = twins_with_curves(curve_of([90, 85, 70]), curve_of([90, 70, 60]))
    assert verdict.evidence[0].label == "plain20 → resnet20-A, number of steps to a validation error of 80.00%"
    assert verdict.evidence[0].value == pytest.approx(150 / (200 + 100 / 3))


def test_convergence_is_not_compared_with_a_network_that_only_guesses() -> None:
    verdict = twins_with_curves(curve_of([90, 91, 90, 70], [0.1, 0.1, 0.1, 0.01]), curve_of([90, 70, 60, 50]))
    assert verdict.answer == "not tested"
    assert verdict.sentence == ("Needs runs of the pair that are better than guessing before the learning rate drops.")


# Analyses.


@pytest.mark.parametrize("ends", [1e-3, 1e3])
def test_gradients_that_fade_or_explode_at_one_step_are_not_healthy(ends: float) -> None:
    truths = {"plain20": Truth(5, 9), "resnet20-A": Truth(5, 9)}
    truths |= {"plain56": Truth(5, 9, gradient=ends), "resnet56-A": Truth(5, 9)}
    found = verdicts(Maker(0).grid(truths, 4, analyses=True))["gradients"]
    assert found.answer == "contradicted"
    # The farthest layer at each step; a tenth of the way at step 1, then half.
    assert [row.value for row in found.evidence] == pytest.approx([1, 1, 1, ends**0.1, ends**0.5, ends], rel=0.2)
    assert found.evidence[4].label == "resnet56-A → plain56, gradient norm at step 1,000 of layer1"
    assert found.sentence.startswith("The gradient norm at step 2,000 of layer1 of plain56 is ")
    assert found.sentence.endswith("that of resnet56-A; this lies outside 1/10 to 10 times.")


def test_one_layer_is_enough_and_is_compared_with_the_residual_counterpart() -> None:
    """A layer whose gradient vanishes is seen among 19; one that is as small in the counterpart is healthy."""
    for networks, answer in ((["plain20"], "contradicted"), (["plain20", "resnet20-A"], "reproduced")):
        grid = Maker(0).grid({"plain20": Truth(5, 9), "resnet20-A": Truth(5, 9)}, 5, analyses=True)
        for cell in grid.cells:
            if cell.cell.network in networks:
                gradients = cell.tables["gradients"]
                gradients.loc[gradients["layer"] == "layer7", "gradient_norm"] *= 1e-3
        assert verdicts(grid)["gradients"].answer == answer


def test_a_gradient_that_is_no_number_is_not_healthy() -> None:
    grid = Maker(0).grid({"plain20": Truth(5, 9), "resnet20-A": Truth(5, 9)}, 4, analyses=True)
    for cell in grid.cells[:3]:
        gradients = cell.tables["gradients"]
        gradients.loc[gradients["index"] == 5, "gradient_norm"] = np.nan
    assert verdicts(grid)["gradients"].answer != "reproduced"


def test_analyses_that_some_cells_lack_are_not_tested() -> None:
    truths = {"plain20": Truth(5, 9), "resnet20-A": Truth(5, 9), "resnet56-A": Truth(5, 9, response=0.5)}
    with_files, without = (Maker(0).grid(truths, 3, analyses=analyses) for analyses in (True, False))
    mixed = Results((without.networks[0], *with_files.networks[1:]))
    found = verdicts(mixed)
    assert found["gradients"].answer == found["responses-smaller"].answer == "not tested"
    assert found["responses-depth"].answer == "reproduced"
