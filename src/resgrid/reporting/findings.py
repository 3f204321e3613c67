"""The summary in words: what the numbers say of degradation and its cure, and plainly so where they don't.

A statement is made only if every seed agrees and the difference exceeds its deviation over the seeds (`Comparison`).
"""

from __future__ import annotations

from dataclasses import dataclass

from resgrid.reporting.results import Comparison, NetworkResult, Results, Spread

_MANY_SEEDS = 5


@dataclass(frozen=True)
class Finding:
    """One answer.

    Attributes:
        question: what was asked.
        answer: one sentence.
        evidence: what is behind it, one sentence each.
        comparisons: of training and test error; empty if the grid can't answer.
    """

    question: str
    answer: str
    evidence: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()


def find(results: Results) -> list[Finding]:
    """Degradation, its cure, and what depth does to residual networks (paper, section 4.2 and Fig. 6)."""
    groups = results.by_shortcut
    residual = [group for shortcut, group in groups.items() if shortcut != "none"]
    return [
        _degradation(groups.get("none", [])),
        *_cures(results),
        *(_residual_depth(group) for group in residual if len(group) > 1),
    ]


def caution(seeds: int) -> str:
    """What so many seeds can't tell; empty where there are enough for a deviation to mean something."""
    if seeds == 1:
        return "There is one seed only: how much of a difference is chance can't be told."
    if seeds < _MANY_SEEDS:
        return f"{seeds} seeds can show a large difference, but not measure a small one."
    return ""


def percent(spread: Spread) -> str:
    """Mean ± sample deviation over the seeds, without the percent sign."""
    return f"{spread.mean:.2f}" + ("" if spread.deviation is None else f" ± {spread.deviation:.2f}")


def points(value: float) -> str:
    """A difference in percentage points, with its sign."""
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def _degradation(plain: list[NetworkResult]) -> Finding:
    question = "Do deeper plain networks get worse?"
    if len(plain) <= 1:
        return Finding(question, "This grid can't tell.", ("It would take plain networks of two depths.",))
    shallow, deep = plain[0], plain[-1]
    train, test = Comparison("train_error", shallow, deep), Comparison("test_error", shallow, deep)
    match train.direction, test.direction:
        case "higher", "higher":
            answer = f"Yes: {deep.name} errs more than {shallow.name} in training and in test. This is the degradation."
            meaning = "Since its training error is higher too, this isn't overfitting."
        case "higher", _:
            answer = f"In training, yes: {deep.name} errs more than {shallow.name}. The test doesn't show it clearly."
            meaning = ""
        case _, "higher":
            answer = f"Not in training: {deep.name} errs more than {shallow.name} in the test alone."
            meaning = "This is not the degradation that the paper describes, but looks like overfitting."
        case "lower", _:
            answer = f"No: there is no degradation here. {deep.name} has a lower training error than {shallow.name}."
            meaning = ""
        case _:
            answer = f"No degradation shows here: {deep.name} and {shallow.name} can't be told apart in training."
            meaning = ""
    return Finding(question, answer, _evidence(train, test, meaning), (train, test))


def _cures(results: Results) -> list[Finding]:
    """At the greatest depth that has both: the plain network against each of its residual twins."""
    plain = {result.network.depth: result for result in results.by_shortcut.get("none", [])}
    residual = [result for result in results.by_depth if result.network.shortcut != "none"]
    twins = [result for result in residual if result.network.depth in plain]
    if not twins:
        question = "Do shortcuts lower the error?"
        missing = "It would take a plain and a residual network of one depth."
        return [Finding(question, "This grid can't tell.", (missing,))]
    depth = twins[-1].network.depth
    return [_cure(plain[depth], twin) for twin in twins if twin.network.depth == depth]


def _cure(plain: NetworkResult, twin: NetworkResult) -> Finding:
    question = f"Do shortcuts (option {twin.network.shortcut}) lower the error at depth {twin.network.depth}?"
    train, test = Comparison("train_error", plain, twin), Comparison("test_error", plain, twin)
    match train.direction, test.direction:
        case "lower", "lower":
            answer = f"Yes: {twin.name} errs less than {plain.name} in training and in test."
        case _, "lower":
            answer = f"In the test, yes: {twin.name} errs less than {plain.name}. Training doesn't show it clearly."
        case _, "higher":
            answer = f"No: {twin.name} errs more than {plain.name} in the test."
        case "lower", _:
            answer = f"In training only: {twin.name} errs less than {plain.name}, but not clearly so in the test."
        case _:
            answer = f"No difference shows here: {twin.name} and {plain.name} can't be told apart in the test."
    return Finding(question, answer, _evidence(train, test), (train, test))


def _residual_depth(group: list[NetworkResult]) -> Finding:
    question = f"Do deeper residual networks (option {group[0].network.shortcut}) get better?"
    shallow, deep = group[0], group[-1]
    train, test = Comparison("train_error", shallow, deep), Comparison("test_error", shallow, deep)
    match test.direction:
        case "lower":
            answer = f"Yes: {deep.name} errs less than {shallow.name} in the test."
        case "higher":
            answer = (
                f"No: {deep.name} errs more than {shallow.name} in the test. The shortcuts don't cure all of it here."
            )
        case _:
            answer = f"No difference shows here: {deep.name} and {shallow.name} can't be told apart in the test."
    return Finding(question, answer, _evidence(train, test), (train, test))


def _evidence(train: Comparison, test: Comparison, meaning: str = "") -> tuple[str, ...]:
    changes = (f"Training error goes {_change(train)}.", f"Test error goes {_change(test)}.")
    return (*changes, meaning) if meaning else changes


def _change(comparison: Comparison) -> str:
    """Such as: from 0.10 ± 0.05 % to 36.90 ± 3.00 %: +36.80 points, higher with 2 of 2 seeds."""
    before = comparison.first.errors[comparison.measure]
    after = comparison.second.errors[comparison.measure]
    differences = comparison.differences
    change = f"from {percent(before)} % to {percent(after)} %: {points(differences.mean)} points"
    return f"{change}, {_agreement(differences)}"


def _agreement(differences: Spread) -> str:
    if differences.n == 1:
        return "one seed"
    counts = {
        "higher": sum(value > 0 for value in differences.values),
        "lower": sum(value < 0 for value in differences.values),
        "equal": sum(value == 0 for value in differences.values),
    }
    seen = " and ".join(f"{direction} with {count}" for direction, count in counts.items() if count)
    return f"{seen} of {differences.n} seeds"
