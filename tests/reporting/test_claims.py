"""Verdicts on synthetic grids with known effects are right, and rarely wrong without an effect."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from resgrid.artifacts.cell_files import CURVE_COLUMNS
from resgrid.reporting.claims import judge
from resgrid.reporting.claims.shortcuts import EQUIVALENCE_MARGIN
from resgrid.reporting.claims.speed import steps_to
from resgrid.reporting.formatting import points
from resgrid.reporting.results import NetworkResult, Results
from resgrid.reporting.statistics import seeds_needed
from resgrid.reporting.verdicts import Verdict
from support.synthetic import Maker, Truth

# As in the paper: plain networks degrade, residual ones gain, C beats B beats A by little.
PAPER = {
    "plain20": Truth(3, 9.3, speed=400, response=1.2),
    "plain32": Truth(8, 11, response=1.3),
    "plain56": Truth(12, 14, response=1.4),
    "resnet20-A": Truth(2, 8.9, speed=300, response=0.8),
    "resnet20-B": Truth(2, 8.6, response=0.8),
    "resnet20-C": Truth(2, 8.3, response=0.8),
    "resnet32-A": Truth(1, 7.7, response=0.6),
    "resnet56-A": Truth(0.3, 7.0, response=0.5),
}
OPPOSITE = {
    "plain20": Truth(3, 9, speed=300, response=0.8, gradient=1e-4),
    "plain56": Truth(1, 7, response=0.6, gradient=1e-4),
    "resnet20-A": Truth(3, 12, speed=400, response=1.2),
    "resnet20-B": Truth(3, 14, response=1.2),
    "resnet56-A": Truth(3, 15, response=1.4),
}
ALL_CLAIMS = {
    "degradation",
    "not-overfitting",
    "gradients",
    "shortcuts-help",
    "shallow-equivalent",
    "shallow-faster",
    "options-equivalent",
    "options-order",
    "residual-depth",
    "responses-smaller",
    "responses-depth",
    "ensemble",
}


def verdicts(results: Results) -> dict[str, Verdict]:
    return {verdict.key: verdict for verdict in judge(results)}


def answers(truths: Mapping[str, Truth], seeds: int = 5, noise: float = 0.15, seed: int = 0) -> dict[str, str]:
    grid = Maker(seed, noise).grid(truths, seeds, analyses=True)
    return {verdict.key: verdict.answer for verdict in judge(grid)}


def test_the_paper_s_effects_are_reproduced() -> None:
    found = answers(PAPER, seeds=8)
    assert found.pop("ensemble") == "not tested"
    assert set(found.values()) == {"reproduced"}
    assert set(found) == (ALL_CLAIMS - {"shortcuts-help", "residual-depth", "ensemble"}) | {
        "shortcuts-help-depth-32",
        "shortcuts-help-depth-56",
        "residual-depth-option-A",
    }


def test_the_opposite_of_each_is_contradicted() -> None:
    found = answers(OPPOSITE)
    assert found.pop("ensemble") == "not tested"
    assert found.pop("not-overfitting") == "inconclusive"  # there is no degradation to explain
    assert set(found.values()) == {"contradicted"}
    assert len(found) == 10


def test_overfitting_is_told_from_degradation() -> None:
    found = answers({"plain20": Truth(5, 8), "plain56": Truth(1, 14)})
    assert (found["degradation"], found["not-overfitting"]) == ("contradicted", "contradicted")


def test_overfitting_is_a_gap_that_grows_by_more_than_the_training_error() -> None:
    found = verdicts(Maker(0, noise=0.1).grid({"plain20": Truth(1, 5), "plain56": Truth(2.05, 22.08)}, 5))
    assert (found["degradation"].answer, found["not-overfitting"].answer) == ("reproduced", "contradicted")
    assert found["not-overfitting"].sentence.endswith("most of the rise is in the gap, which suggests overfitting.")
    rows = {row.label: row.value for row in found["not-overfitting"].evidence}
    assert rows["plain20 → plain56, gap (test − training error)"] == pytest.approx(16.03, abs=0.2)
    assert answers({"plain20": Truth(1, 5), "plain56": Truth(6, 11)})["not-overfitting"] == "reproduced"
    assert answers({"plain20": Truth(1, 5), "plain56": Truth(6, 15)})["not-overfitting"] == "inconclusive"


def test_shallow_networks_are_judged_at_the_depth_nearest_to_the_paper_s_18() -> None:
    """Depth 8 would show equivalence, and depth 20 doesn't; gains are judged at deeper networks only."""
    truths = {
        "plain8": Truth(1, 9),
        "resnet8-A": Truth(1, 9),
        "plain20": Truth(9, 15),
        "resnet20-A": Truth(1, 9),
        "plain56": Truth(9, 15),
        "resnet56-A": Truth(1, 9),
    }
    found = verdicts(Maker(0, noise=0.1).grid(truths, 5))
    assert found["shallow-equivalent"].answer == "contradicted"
    assert found["shallow-faster"].evidence[0].label.startswith("plain20 → resnet20-A, ")
    assert [key for key in found if key.startswith("shortcuts-help")] == ["shortcuts-help-depth-56"]


def test_degradation_is_seen_where_some_depth_helps_first() -> None:
    """Too shallow a network errs more than all; the added layers of the deepest do harm all the same."""
    found = verdicts(Maker(0).grid({"plain8": Truth(20, 22), "plain20": Truth(3, 8), "plain56": Truth(9, 13)}, 5))
    assert found["degradation"].answer == "reproduced"
    assert found["degradation"].sentence.startswith("plain56 has a higher training error than plain20: +")


def test_thin_evidence_is_inconclusive() -> None:
    assert set(answers(PAPER, seeds=1).values()) == {"inconclusive", "not tested"}
    small = {"plain20": Truth(3.0, 9.0), "plain56": Truth(3.3, 9.3), "resnet56-A": Truth(3.0, 9.0)}
    found = answers(small, seeds=3, noise=0.5)
    assert {found[key] for key in ("degradation", "not-overfitting", "shortcuts-help-depth-56")} == {"inconclusive"}


def test_one_seed_is_said_to_be_too_few_and_the_numbers_are_there() -> None:
    verdict = verdicts(Maker(0, noise=0).grid({"plain20": Truth(3, 9), "plain56": Truth(43, 49)}, 1))["degradation"]
    assert verdict.sentence == (
        "From plain20 to plain56, the training error changes by +40.00 points (1 seed). "
        "With one seed, a difference can't be distinguished from chance."
    )
    assert [(row.text, row.p) for row in verdict.evidence] == [
        ("3.00%", None),
        ("43.00%", None),
        ("+40.00 points", None),
    ]


@pytest.mark.parametrize("networks", [["resnet20-A"], ["plain56"]])
def test_what_the_grid_lacks_is_not_tested(networks: list[str]) -> None:
    found = verdicts(Maker(0).grid(dict.fromkeys(networks, Truth(3, 9)), 5))
    assert set(found) == ALL_CLAIMS
    assert {verdict.answer for verdict in found.values()} == {"not tested"}
    assert all(verdict.sentence.startswith("Needs ") and not verdict.evidence for verdict in found.values())


def test_convergence_is_not_compared_in_deep_networks() -> None:
    found = verdicts(Maker(0).grid({"plain56": Truth(3, 9), "resnet56-A": Truth(3, 9)}, 5))
    assert found["shallow-equivalent"].answer == found["shallow-faster"].answer == "not tested"
    assert found["shortcuts-help-depth-56"].answer == "inconclusive"


def test_a_verdict_has_its_numbers_interval_and_cells() -> None:
    grid = Maker(3).grid({name: PAPER[name] for name in ("plain20", "plain32", "plain56")}, 4)
    verdict = verdicts(grid)["degradation"]
    errors = [network.errors["train_error"].values for network in grid.networks]
    tests = [stats.ttest_rel(errors[2], errors[0]), stats.ttest_rel(errors[2], errors[1])]
    rows = verdict.evidence[-2:]
    assert [row.label for row in rows] == [
        "plain20 → plain56, training error",
        "plain32 → plain56, training error",
    ]
    assert rows[0].value == pytest.approx(np.mean(errors[2]) - np.mean(errors[0]))
    assert rows[0].interval == pytest.approx(tuple(tests[0].confidence_interval()))
    smaller, larger = sorted(float(test.pvalue) for test in tests)
    assert sorted(row.p or 0 for row in rows) == pytest.approx([2 * smaller, max(2 * smaller, larger)])
    assert rows[1].cells == ("plain32-0", "plain32-1", "plain32-2", "plain32-3", *rows[0].cells[4:])
    assert verdict.evidence[0].interval == grid.networks[0].errors["train_error"].percent_interval


def test_pairing_finds_what_the_seeds_have_in_common() -> None:
    """A difference of 0.5 points under a scatter of 3 points that is the seed's and not the network's."""
    grid = Maker(1, noise=0.1, common=3.0).grid({"plain56": Truth(20, 20.0), "resnet56-A": Truth(20, 19.5)}, 5)
    plain, residual = (network.errors["test_error"].values for network in grid.networks)
    assert float(tuple(stats.ttest_ind(plain, residual, equal_var=False))[1]) > 0.5
    assert verdicts(grid)["shortcuts-help-depth-56"].answer == "reproduced"


def test_every_option_must_help_and_one_that_harms_contradicts() -> None:
    plain, better, same, worse = Truth(5, 10), Truth(5, 8), Truth(5, 10), Truth(5, 12)
    for other, answer in ((better, "reproduced"), (same, "inconclusive"), (worse, "contradicted")):
        grid = {"plain56": plain, "resnet56-A": better, "resnet56-B": other}
        assert answers(grid)["shortcuts-help-depth-56"] == answer


# No effect: how often the rules err.

NULL: dict[str, Truth] = dict.fromkeys(
    ("plain8", "plain20", "plain32", "resnet8-A", "resnet20-A", "resnet32-A", "resnet20-B"), Truth(5, 7)
)
DIFFERENCES = ("degradation", "not-overfitting", "shortcuts-help", "options-order", "residual-depth", "shallow-faster")


@pytest.mark.parametrize(
    "maker",
    [
        Maker(3, noise=0.5),
        Maker(5, noise=0.05),
        Maker(3, noise=0.5, failing=0.2),
        Maker(5, noise=0.5, failing=0.2),
        Maker(5, noise=0.5, heavy_tails=True),
    ],
    ids=["3 seeds", "5 seeds, noise of one image", "3 seeds, failing", "5 seeds, failing", "5 seeds, heavy tails"],
)
def test_no_effect_is_rarely_taken_for_one(maker: Maker) -> None:
    """Each claim, with all its comparisons, errs in at most 5% of grids, within what 200 grids allow.

    The maker's seed is the number of seeds.
    """
    seeds, grids, wrong = maker.seed, 200, Counter[str]()
    for _ in range(grids):
        found = judge(maker.grid(NULL, seeds))
        for claim in DIFFERENCES:
            decided = {verdict.answer for verdict in found if verdict.key.startswith(claim)}
            wrong[claim] += bool(decided & {"reproduced", "contradicted"})
    most = stats.binom.isf(0.001, grids, 0.05)
    assert max(wrong.values()) <= most
    assert maker.failing or sum(wrong.values()) > 0  # the test sees decisions at all


def test_networks_at_the_margin_are_rarely_called_alike() -> None:
    truths = {"plain20": Truth(5, 7), "resnet20-A": Truth(5, 7 + EQUIVALENCE_MARGIN)}
    maker, grids = Maker(7, 0.3), 200
    counts = Counter(verdicts(maker.grid(truths, 5))["shallow-equivalent"].answer for _ in range(grids))
    for answer in ("reproduced", "contradicted"):
        assert counts[answer] <= stats.binom.isf(0.001, grids, 0.05)


@pytest.mark.parametrize(
    ("difference", "noise", "answer"),
    [(0.2, 0.1, "reproduced"), (0.2, 1.5, "inconclusive"), (1.0, 0.1, "inconclusive"), (2.0, 0.1, "contradicted")],
)
def test_alike_takes_an_interval_within_the_margin(difference: float, noise: float, answer: str) -> None:
    truths = {"plain20": Truth(5, 9), "resnet20-A": Truth(5, 9 + difference), "resnet20-B": Truth(5, 9)}
    found = answers(truths, noise=noise, seed=4)
    assert found["shallow-equivalent"] == answer
    assert found["options-equivalent"] == answer


def test_an_effect_is_found_as_often_as_the_number_of_seeds_promises() -> None:
    # The difference of two networks scatters by √2 times the noise of one.
    seeds = seeds_needed(0.5, 0.4 * 2**0.5)
    assert seeds == 13
    maker = Maker(5, 0.4)
    truths = {"plain56": Truth(9, 9.0), "resnet56-A": Truth(9, 8.5)}
    grids = [verdicts(maker.grid(truths, seeds))["shortcuts-help-depth-56"].answer for _ in range(200)]
    assert grids.count("reproduced") / 200 == pytest.approx(0.8, abs=0.1)
    assert "contradicted" not in grids


def test_an_undecided_sentence_says_how_many_seeds_would_tell() -> None:
    grid = Maker(3, 0.5).grid({"plain56": Truth(9, 9.0), "resnet56-A": Truth(9, 8.6)}, 5)
    contrast = grid.networks[1].errors["test_error"].mean - grid.networks[0].errors["test_error"].mean
    plain, residual = (np.array(network.errors["test_error"].values) for network in grid.networks)
    needed = seeds_needed(contrast, float(np.std(residual - plain, ddof=1)))
    sentence = verdicts(grid)["shortcuts-help-depth-56"].sentence
    assert sentence.startswith(f"From plain56 to resnet56-A, the test error changes by {points(contrast)} points (95% ")
    assert sentence.endswith(f"This is not significant; at this variability, 80% power takes about {needed} seeds.")


def test_two_seeds_decide_nothing() -> None:
    found = verdicts(Maker(0, noise=0.01).grid(PAPER, 2, analyses=True))
    assert {verdict.answer for verdict in found.values()} == {"inconclusive", "not tested"}
    assert found["degradation"].sentence.endswith("A verdict needs at least 3 seeds.")


def test_equal_networks_have_a_difference_of_unknown_variability() -> None:
    grid = Maker(0, noise=0).grid({"plain56": Truth(9, 9), "resnet56-A": Truth(9, 9), "resnet56-B": Truth(9, 9)}, 5)
    found = verdicts(grid)
    assert found["shortcuts-help-depth-56"].sentence == (
        "From plain56 to resnet56-A, the test error changes by "
        "+0.00 points (5 seeds). All seeds show the same difference, so its variability is unknown."
    )
    assert found["options-equivalent"].answer == "inconclusive"


def test_an_effect_that_the_adjustment_takes_back_is_said_so() -> None:
    """One of many comparisons is below 5 % by itself, so its interval excludes zero, and yet it doesn't decide."""
    sentences: list[str] = []
    maker = Maker(0)
    while not sentences:
        found = verdicts(maker.grid(NULL, 3))
        open_ones = [found[key] for key in found if found[key].answer == "inconclusive"]
        sentences = [
            verdict.sentence for verdict in open_ones if "after adjustment for all comparisons" in verdict.sentence
        ]
    low, high = re.findall(r"interval ([^ ]+) to ([^;]+);", sentences[0])[0]
    assert low[0] == high[0]  # the sign


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
    grid = {"plain20": Truth(5, 9), "plain56": Truth(5, 9, gradient=ends)}
    found = verdicts(Maker(0).grid(grid, 4, analyses=True))["gradients"]
    assert found.answer == "contradicted"
    # Of 19 layers in even steps, the first 6 lie 13/18 of the way from the last 6; a tenth of it at step 1, then half.
    way = ends ** (13 / 18)
    assert [row.value for row in found.evidence] == pytest.approx([1, 1, 1, way**0.1, way**0.5, way], rel=0.1)
    assert found.evidence[4].label == (
        "the last third → the first third of plain56's layers, gradient norm at step 1,000"
    )
    assert found.sentence.startswith("The gradient norm at step 2,000 of the first third of plain56's layers is ")
    assert found.sentence.endswith("that of the last third; this lies outside 1/100 to 100 times.")


def test_a_gradient_that_is_no_number_is_not_healthy() -> None:
    grid = Maker(0).grid({"plain20": Truth(5, 9)}, 4, analyses=True)
    for cell in grid.cells[:3]:
        gradients = cell.tables["gradients"]
        gradients.loc[gradients["index"] == 5, "gradient_norm"] = np.nan
    assert verdicts(grid)["gradients"].answer != "reproduced"


def test_analyses_that_some_cells_lack_are_not_tested() -> None:
    with_files, without = (Maker(0).grid(PAPER, 3, analyses=analyses) for analyses in (True, False))
    mixed = Results((*without.networks[:3], *with_files.networks[3:]))
    found = verdicts(mixed)
    assert found["gradients"].answer == found["responses-smaller"].answer == "not tested"
    assert found["responses-depth"].answer == "reproduced"


def test_networks_with_a_modifier_are_compared_with_their_like() -> None:
    truths = {"plain20": Truth(3, 9), "plain56": Truth(3, 9), "resnet20-A": Truth(3, 9)}
    grid = Maker(0).grid(truths, 5)
    other = Maker(1).grid({"plain20": Truth(3, 9), "plain56": Truth(30, 33)}, 5)
    sigmoid = [NetworkResult(f"{network.name}-sigmoid", network.cells) for network in other.networks]
    found = verdicts(Results((*grid.networks, *sigmoid)))
    assert found["degradation"].answer == "inconclusive"
    assert found["degradation-sigmoid"].answer == "reproduced"
    assert found["degradation-sigmoid"].title == "Deeper plain networks have a higher training error (sigmoid)"
    assert "shortcuts-help-sigmoid" not in found
