"""Ensembles average probabilities, and refuse logits that don't belong to the results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from resgrid.cells import grid
from resgrid.config.report import EnsembleConfig
from resgrid.reporting.results import ResultsError

if TYPE_CHECKING:
    from tests.reporting.conftest import MakeStudy, Study

CLASSES = ["cat", "dog", "emu"]
# Three members of one network. Averaged logits would give the first image to the dog, since one member all but rules
# out the cat: a veto that averaged probabilities don't have.
LABELS = [0, 1, 2, 0]
PROBABILITIES = np.array(
    [
        [[1e-6, 0.5, 0.499999], [0.2, 0.7, 0.1], [0.1, 0.5, 0.4], [0.4, 0.5, 0.1]],
        [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.4, 0.5, 0.1]],
        [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.4, 0.1, 0.5], [0.4, 0.5, 0.1]],
    ]
)
# Sums: (1.4 | 0.9 | 0.7) right, (1.3 | 1.4 | 0.3) right, (0.6 | 0.8 | 1.6) right, (1.2 | 1.5 | 0.3) wrong.
MEMBERS_WRONG = [3, 2, 2]


@pytest.fixture
def study(make_study: MakeStudy) -> Study:
    study = make_study({"plain8": [(0.0, 0)] * 3}, card={"classes": CLASSES}, records=False)
    for seed, probabilities in enumerate(PROBABILITIES):
        write_logits(study, seed, np.log(probabilities) + 7 * seed)  # a shift of the logits changes no probability
    return study


def write_logits(study: Study, seed: int, logits: np.ndarray) -> None:
    paths = study.paths("plain8", seed)
    np.save(paths.logits, logits.astype(np.float32))
    guesses = logits.argmax(axis=1)
    rows = [f"{CLASSES[label]},{CLASSES[guess]}" for label, guess in zip(LABELS, guesses, strict=True)]
    paths.confusion.write_text("\n".join(["actual,predicted", *rows]))
    evaluation = json.loads(paths.evaluation.read_text())
    evaluation |= {"test_error": 100 * float(np.mean(guesses != LABELS)), "images": 4}
    paths.evaluation.write_text(json.dumps(evaluation))


def test_probabilities_are_averaged(study: Study) -> None:
    (ensemble,) = study.content().ensembles
    assert ensemble.name == "plain8"
    assert ensemble.wrong.tolist() == [False, False, False, True]
    assert ensemble.error == 25
    assert ensemble.member_errors == [25.0 * wrong for wrong in MEMBERS_WRONG]
    # All have one validation error, so the best by validation is the first: it errs on all images but the second.
    assert ensemble.against_best.tolist() == [-100, 0, -100, 0]
    assert ensemble.against_average.tolist() == pytest.approx([-100 / 3, -200 / 3, -100 / 3, 0])


def test_logits_that_are_no_numbers_say_nothing(study: Study) -> None:
    before = study.content().ensembles[0].wrong
    broken = np.log(PROBABILITIES[1])
    broken[2] = [np.nan, 0, np.inf]
    write_logits(study, 1, broken)
    (ensemble,) = study.content().ensembles
    # Image 2 without its surest member: 0.5, 0.6, 0.9, and a third for each: still right.
    assert ensemble.wrong.tolist() == before.tolist()
    assert ensemble.members_wrong[1].tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("logits", "problem"),
    [
        (np.zeros((3, 3)), r"has the shape \(3, 3\), the test set \(4, 3\)"),
        (np.zeros((4, 2)), r"has the shape \(4, 2\), the test set \(4, 3\)"),
        (np.eye(4, 3), "has 0 misclassified images, evaluation.json 2"),
    ],
)
def test_logits_of_something_else_are_refused(study: Study, logits: Any, problem: str) -> None:
    np.save(study.paths("plain8", 1).logits, logits)
    with pytest.raises(ResultsError, match=problem) as error:
        study.content()
    assert "plain8-1/logits.npy" in str(error.value)


@pytest.mark.parametrize(("content", "problem"), [(None, "missing"), (b"", "damaged"), (b"no", "damaged")])
def test_missing_or_broken_logits_are_refused(study: Study, content: bytes | None, problem: str) -> None:
    path = study.paths("plain8", 2).logits
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ResultsError, match=f"plain8-2/logits.npy: {problem}.*dvc repro"):
        study.content()


def test_cells_of_other_test_images_are_refused(study: Study) -> None:
    path = study.paths("plain8", 1).confusion
    path.write_text(path.read_text().replace("emu,emu", "cat,cat"))
    with pytest.raises(ResultsError, match=r"plain8-1/confusion.csv: has other test images"):
        study.content()


def test_every_network_s_seeds_and_the_named_sets(make_study: MakeStudy) -> None:
    outcomes = {"plain8": [(0.0, 40)] * 2, "resnet8-A": [(0.0, 20)] * 2, "resnet20-A": [(0.0, 10)] * 2}
    named = [
        {"name": "residual, seed 0", "cells": ["resnet*-A-0"]},
        {"name": "both, twice named", "cells": ["resnet20-A-*", "plain8-1", "resnet20-A-1"]},
    ]
    ensembles = make_study(outcomes, records=False, report={"ensembles": named}).content().ensembles
    assert {each.name: [member.cell.name for member in each.members] for each in ensembles} == {
        "plain8": ["plain8-0", "plain8-1"],
        "resnet8-A": ["resnet8-A-0", "resnet8-A-1"],
        "resnet20-A": ["resnet20-A-0", "resnet20-A-1"],
        "residual, seed 0": ["resnet8-A-0", "resnet20-A-0"],
        "both, twice named": ["plain8-1", "resnet20-A-0", "resnet20-A-1"],
    }


def test_one_seed_is_no_ensemble_and_needs_no_logits(make_study: MakeStudy) -> None:
    study = make_study({"plain8": [(0.0, 40)]}, records=False)
    study.paths("plain8", 0).logits.unlink()
    assert study.content().ensembles == ()


def test_patterns_match_names_with_case() -> None:
    cells = grid(["resnet8-A", "resnet8-B"], [0, 10])
    matched = EnsembleConfig(name="x", cells=["resnet8-[!b]-?", "*-B-10"]).among(cells)
    assert [cell.name for cell in matched] == ["resnet8-A-0", "resnet8-B-0", "resnet8-B-10"]
