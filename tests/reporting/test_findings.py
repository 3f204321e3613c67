"""The summary in words says what the numbers say, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resgrid.reporting.findings import Finding, caution, find

if TYPE_CHECKING:
    from tests.reporting.conftest import MakeStudy, Outcomes

LOW, HIGH = [(1.0, 8), (1.5, 12)], [(21.0, 88), (23.0, 96)]


def degradation(make_study: MakeStudy, outcomes: Outcomes) -> Finding:
    return find(make_study(outcomes).results())[0]


def cure(make_study: MakeStudy, outcomes: Outcomes) -> Finding:
    return find(make_study(outcomes).results())[1]


def test_degradation_is_stated_where_it_is(make_study: MakeStudy) -> None:
    finding = degradation(make_study, {"plain8": LOW, "plain20": [(0.0, 0), (0.0, 0)], "plain32": HIGH})
    assert finding.answer == "Yes: plain32 errs more than plain8 in training and in test. This is the degradation."
    assert finding.evidence == (
        "Training error goes from 1.25 ± 0.35 % to 22.00 ± 1.41 %: +20.75 points, higher with 2 of 2 seeds.",
        "Test error goes from 2.50 ± 0.71 % to 23.00 ± 1.41 %: +20.50 points, higher with 2 of 2 seeds.",
        "Since its training error is higher too, this isn't overfitting.",
    )


def test_degradation_is_denied_where_depth_helps(make_study: MakeStudy) -> None:
    finding = degradation(make_study, {"plain8": HIGH, "plain32": LOW})
    assert finding.answer.startswith("No: there is no degradation here. plain32 has a lower training error")


def test_degradation_is_not_claimed_where_nothing_differs(make_study: MakeStudy) -> None:
    finding = degradation(make_study, {"plain8": LOW, "plain32": LOW})
    assert finding.answer.startswith("No degradation shows here")
    assert "equal with 2 of 2 seeds" in finding.evidence[0]


def test_seeds_that_disagree_decide_nothing_and_are_counted(make_study: MakeStudy) -> None:
    finding = degradation(make_study, {"plain8": [(5.0, 20), (5.0, 20)], "plain32": [(9.0, 36), (4.0, 16)]})
    assert finding.answer.startswith("No degradation shows here")
    assert "higher with 1 and lower with 1 of 2 seeds" in finding.evidence[0]


def test_worse_in_the_test_alone_is_not_called_degradation(make_study: MakeStudy) -> None:
    finding = degradation(make_study, {"plain8": [(1.0, 8), (1.5, 12)], "plain32": [(0.5, 88), (0.75, 96)]})
    assert finding.answer.startswith("Not in training")
    assert "overfitting" in finding.evidence[-1]


def test_worse_in_training_alone_is_said_so(make_study: MakeStudy) -> None:
    finding = degradation(make_study, {"plain8": [(1.0, 8), (1.5, 12)], "plain32": [(20.0, 8), (22.0, 12)]})
    assert finding.answer.startswith("In training, yes")


@pytest.mark.parametrize("networks", [["plain20", "resnet20-A"], ["resnet8-A", "resnet20-A"]])
def test_fewer_than_two_plain_depths_say_nothing_of_degradation(make_study: MakeStudy, networks: list[str]) -> None:
    finding = degradation(make_study, dict.fromkeys(networks, LOW))
    assert finding.answer == "This grid can't tell."
    assert finding.comparisons == ()


def test_the_cure_is_stated_at_the_greatest_depth_that_has_both(make_study: MakeStudy) -> None:
    outcomes = {"plain8": LOW, "plain20": HIGH, "plain32": HIGH, "resnet8-A": HIGH, "resnet20-A": LOW}
    finding = cure(make_study, outcomes)
    assert finding.question == "Do shortcuts (option A) lower the error at depth 20?"
    assert finding.answer == "Yes: resnet20-A errs less than plain20 in training and in test."


@pytest.mark.parametrize(
    ("residual", "beginning"),
    [
        (HIGH, "No difference shows"),
        ([(41.0, 168), (43.0, 176)], "No: resnet20-A errs more"),
        ([(21.0, 8), (23.0, 12)], "In the test, yes"),
        ([(1.0, 88), (1.5, 96)], "In training only"),
    ],
)
def test_the_cure_is_not_claimed_beyond_the_numbers(
    make_study: MakeStudy, residual: list[tuple[float, int]], beginning: str
) -> None:
    assert cure(make_study, {"plain20": HIGH, "resnet20-A": residual}).answer.startswith(beginning)


def test_each_shortcut_option_is_compared(make_study: MakeStudy) -> None:
    results = make_study({"plain20": HIGH, "resnet20-A": LOW, "resnet20-B": LOW, "resnet20-C": HIGH}).results()
    answers = [finding.answer.partition(":")[0] for finding in find(results)[1:]]
    assert answers == ["Yes", "Yes", "No difference shows here"]


def test_residual_networks_that_get_worse_with_depth_are_said_to(make_study: MakeStudy) -> None:
    results = make_study({"plain8": LOW, "plain20": HIGH, "resnet8-A": LOW, "resnet20-A": HIGH}).results()
    assert find(results)[-1].answer.startswith("No: resnet20-A errs more than resnet8-A")


def test_few_seeds_bring_a_caution() -> None:
    assert "one seed only" in caution(1)
    assert "2 seeds" in caution(2)
    assert caution(5) == ""
