"""Verdicts on synthetic grids with known effects are right, and rarely wrong without an effect."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pytest
from scipy import stats

from benchmarks.error_rates import EQUAL
from resgrid.paper import TABLE_2, TABLE_3
from resgrid.reporting.claims import CLAIMS, judge
from resgrid.reporting.claims.shortcuts import OPTIONS_MARGIN, SHALLOW_MARGIN
from resgrid.reporting.formatting import points
from resgrid.reporting.planning import detectable, pooled_spread
from resgrid.reporting.results import NetworkResult, Results
from resgrid.reporting.statistics import Sample
from resgrid.reporting.verdicts import Verdict, count_claims
from support.synthetic import Maker, Truth

# As in the paper: plain networks degrade, residual ones gain, C beats B beats A by little.
PAPER = {
    "plain20": Truth(3, 9.3, speed=400, response=1.2),
    "plain32": Truth(8, 11, response=1.3),
    "plain56": Truth(12, 14, response=1.4),
    "resnet20-A": Truth(2, 8.9, speed=300, response=0.8),
    "resnet20-B": Truth(2, 8.8, response=0.8),
    "resnet20-C": Truth(2, 8.7, response=0.8),
    "resnet32-A": Truth(1, 7.7, response=0.6),
    "resnet56-A": Truth(0.3, 7.0, response=0.5),
}
OPPOSITE = {
    "plain20": Truth(3, 9, speed=300, response=0.8, gradient=1e-4),
    "plain56": Truth(1, 7, response=0.6, gradient=1e-4),
    "resnet20-A": Truth(3, 12, speed=400, response=1.2),
    "resnet20-B": Truth(3, 14, response=1.2),
    "resnet56-A": Truth(5, 15, response=1.4),
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
    "residual-training",
    "residual-depth",
    "residual-optimum",
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
    found = answers(PAPER, seeds=8, noise=0.05)
    assert found.pop("ensemble") == found.pop("residual-optimum") == "not tested"
    assert set(found.values()) == {"reproduced"}
    assert set(found) == (
        ALL_CLAIMS - {"shortcuts-help", "residual-training", "residual-depth", "residual-optimum", "ensemble"}
    ) | {
        "shortcuts-help-depth-32",
        "shortcuts-help-depth-56",
        "residual-training-option-A",
        "residual-depth-option-A",
    }


def test_the_opposite_of_each_is_contradicted() -> None:
    found = answers(OPPOSITE)
    assert found.pop("ensemble") == found.pop("residual-optimum") == "not tested"
    assert found.pop("not-overfitting") == "inconclusive"  # there is no degradation to explain
    assert set(found.values()) == {"contradicted"}
    assert len(found) == 11


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
    assert answers({"plain20": Truth(1, 5), "plain56": Truth(6, 15)}, seed=1)["not-overfitting"] == "inconclusive"


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


@pytest.mark.parametrize(
    ("difference", "noise", "answer"),
    [(0.2, 0.1, "reproduced"), (0.2, 3.0, "inconclusive"), (1.0, 0.1, "inconclusive"), (2.0, 0.1, "contradicted")],
)
def test_equivalence_takes_an_interval_within_the_margin(difference: float, noise: float, answer: str) -> None:
    """Of errors around 20%, the margins are 1.2 and 0.8 points."""
    truths = {"plain20": Truth(5, 20), "resnet20-A": Truth(5, 20 + difference), "resnet20-B": Truth(5, 20)}
    grid = verdicts(Maker(4, noise).grid(truths, 5))
    assert grid["shallow-equivalent"].answer == answer


@pytest.mark.parametrize(("error", "answer"), [(5.0, "contradicted"), (40.0, "reproduced")])
def test_a_margin_is_a_share_of_the_error(error: float, answer: str) -> None:
    """A difference of 1 point is 20% of an error of 5%, and 2.5% of an error of 40%."""
    truths = {"plain20": Truth(5, error), "resnet20-A": Truth(5, error + 1), "resnet20-B": Truth(5, error)}
    found = verdicts(Maker(4, 0.1).grid(truths, 5))
    assert found["shallow-equivalent"].answer == found["options-equivalent"].answer == answer
    margins = {5.0: ("0.30", "0.24"), 40.0: ("2.40", "1.64")}[error]
    for key, first, margin in zip(
        ("shallow-equivalent", "options-equivalent"), ("6% of plain20's", "4% of resnet20-A's"), margins, strict=True
    ):
        assert f"within ±{margin} points ({first})." in found[key].sentence.replace("beyond", "within")


def test_a_sentence_that_is_not_significant_gives_the_detectable_difference() -> None:
    grid = Maker(3, 0.5).grid({"plain56": Truth(9, 9.0), "resnet56-A": Truth(9, 8.6), "resnet56-B": Truth(9, 8.8)}, 5)
    plain, *residual = (np.array(network.errors["test_error"].values) for network in grid.networks)
    spread = pooled_spread(Sample(tuple(errors - plain)) for errors in residual)
    assert spread is not None
    lowest = detectable(5, spread, comparisons=2)
    contrast = float(np.mean(residual[0] - plain))
    sentence = verdicts(grid)["shortcuts-help-depth-56"].sentence
    assert sentence.startswith(f"From plain56 to resnet56-A, the test error changes by {points(contrast)} points (95% ")
    assert sentence.endswith(
        f"This is not significant. With 5 seeds, 80% power needs a difference of {lowest.difference:.2f} points "
        f"(95% confidence interval {lowest.interval[0]:.2f} to {lowest.interval[1]:.2f})."
    )


@pytest.mark.parametrize(
    ("at", "answer", "key"),
    [
        ({20: 8.75, 56: 6.6, 110: 7.93}, "contradicted", "residual-depth-option-A"),
        ({20: 8.75, 56: 7.93, 110: 6.6}, "reproduced", "residual-depth-option-A"),
        ({20: 8.75, 110: 6.6, 1202: 7.93}, "reproduced", "residual-depth-option-A"),
        ({20: 8.75, 110: 6.6, 1202: 7.93}, "reproduced", "residual-optimum-option-A"),
        ({20: 8.75, 110: 7.93, 1202: 6.6}, "contradicted", "residual-optimum-option-A"),
        ({20: 8.75, 110: 6.6}, "not tested", "residual-optimum"),
    ],
)
def test_the_optimum_over_depth(at: Mapping[int, float], answer: str, key: str) -> None:
    """Errors of 8.75, 6.6 and 7.93% at 20, 110 and 1202 layers are the paper's finding, and no gain at 1202."""
    truths = {f"resnet{depth}-A": Truth(1, error) for depth, error in at.items()}
    assert verdicts(Maker(0, noise=0.1).grid(truths, 5))[key].answer == answer


def test_the_optimum_is_named() -> None:
    truths = {"resnet20-A": Truth(1, 8.75), "resnet56-A": Truth(1, 6.6), "resnet110-A": Truth(1, 7.93)}
    sentence = verdicts(Maker(0, noise=0.1).grid(truths, 5))["residual-depth-option-A"].sentence
    assert sentence.startswith("resnet110-A has a higher test error than resnet56-A: +1.")
    assert sentence.endswith(" The lowest mean is that of resnet56-A.")


def test_residual_networks_are_also_judged_by_their_training_error() -> None:
    errors = {"resnet20-A": 3, "resnet56-A": 1, "resnet20-B": 1, "resnet56-B": 3}
    truths = {name: Truth(train, 8) for name, train in errors.items()}
    found = verdicts(Maker(0, noise=0.1).grid(truths, 5))
    assert found["residual-training-option-A"].answer == "reproduced"
    assert found["residual-training-option-B"].answer == "contradicted"


def test_degradation_is_reported_for_the_depth_of_the_paper_s_sentence() -> None:
    """The largest contrast is that with plain32; Fig. 1 compares with plain20."""
    truths = {"plain8": Truth(4, 9), "plain20": Truth(3, 9), "plain32": Truth(1, 9), "plain56": Truth(9, 15)}
    found = verdicts(Maker(0, noise=0.1).grid(truths, 5))
    assert found["degradation"].sentence.startswith("plain56 has a higher training error than plain20: +")
    assert found["not-overfitting"].sentence.startswith("From plain20 to plain56, ")


def test_claims_are_counted_once_whatever_the_depths_and_modifiers() -> None:
    truths = {"plain32": Truth(5, 10), "plain56": Truth(5, 10), "resnet32-A": Truth(5, 8), "resnet56-A": Truth(5, 12)}
    grid = Maker(0, noise=0.1).grid(truths, 5)
    other = Maker(1, noise=0.1).grid({"plain32": Truth(9, 14), "plain56": Truth(5, 10)}, 5)  # no degradation
    sigmoid = [NetworkResult(f"{network.name}-sigmoid", network.cells) for network in other.networks]
    few, many = judge(grid), judge(Results((*grid.networks, *sigmoid)))
    assert len(many) > len(few) > len(ALL_CLAIMS)
    assert count_claims(few) == count_claims(many)
    counts = dict(count_claims(few))
    assert sum(counts.values()) == len(ALL_CLAIMS)
    assert counts["contradicted"] == 2  # shortcuts-help at one of two depths, and residual-depth


def test_other_runs_hold_or_fail_here() -> None:
    truths = {"plain20": Truth(3, 9), "plain56": Truth(9, 14), "resnet56-A": Truth(9, 16)}
    grid = Maker(0, noise=0.1).grid(truths, 5)
    found = {verdict.key: verdict.answer for verdict in judge(grid, direct=False)}
    assert (found["degradation"], found["shortcuts-help-depth-56"]) == ("holds here", "fails here")
    assert {*found.values()} == {"holds here", "fails here", "not tested"}


def test_each_claim_has_a_rule_a_margin_with_its_source_and_a_date() -> None:
    for claim in CLAIMS:
        assert re.search(r"The claim holds if .*, and fails if .*\.$", claim.decision), claim.key
        assert claim.margin.source
        assert re.match(r"2[25] November 2026, ", claim.chosen)
    with_margin = {claim.key for claim in CLAIMS if claim.margin.size}
    assert with_margin == {"gradients", "shallow-equivalent", "options-equivalent"}
    assert {key.removesuffix("-option-A") for key in verdicts(Maker(0).grid(PAPER, 3))} >= with_margin


def test_margins_follow_from_the_paper_s_tables() -> None:
    at_34 = {number.network: number.error or 0 for number in (*TABLE_2, *TABLE_3) if number.kind == "top-1 error"}
    plain, a, c = (at_34[name] for name in ("plain34-imagenet", "resnet34-imagenet-A", "resnet34-imagenet-C"))
    assert pytest.approx((1 - a / plain) / 2, abs=0.005) == SHALLOW_MARGIN.size
    assert 1 - c / a < OPTIONS_MARGIN.size < 1 - c / a + 0.01


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
        found = verdicts(maker.grid(EQUAL, 3))
        open_ones = [found[key] for key in found if found[key].answer == "inconclusive"]
        sentences = [
            verdict.sentence for verdict in open_ones if "after adjustment for all comparisons" in verdict.sentence
        ]
    low, high = re.findall(r"interval ([^ ]+) to ([^;]+);", sentences[0])[0]
    assert low[0] == high[0]  # the sign


def test_networks_with_a_modifier_are_compared_with_their_like() -> None:
    truths = {"plain20": Truth(3, 9), "plain56": Truth(3, 9), "resnet20-A": Truth(3, 9)}
    grid = Maker(0).grid(truths, 5)
    other = Maker(1).grid({"plain20": Truth(3, 9), "plain56": Truth(30, 33)}, 5)
    sigmoid = [NetworkResult(f"{network.name}-sigmoid", network.cells) for network in other.networks]
    found = verdicts(Results((*grid.networks, *sigmoid)))
    assert found["degradation"].answer == "inconclusive"
    assert found["degradation-sigmoid"].answer == "holds here"  # the paper has no such networks
    assert found["degradation-sigmoid"].title == "Deeper plain networks have a higher training error (sigmoid)"
    assert "shortcuts-help-sigmoid" not in found
