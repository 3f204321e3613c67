"""Verdicts are registered only if git has the rules and the grid from before the runs, and not their results."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from resgrid.cells import Cell
from resgrid.reporting.registration import REGISTRATION, RegistrationCheck, check_registration, make_registration

if TYPE_CHECKING:
    from tests.reporting.conftest import MakeStudy, Study

OUTCOMES = {"plain8": [(1.0, 8), (1.5, 12)]}


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path, *paths: str) -> str:
    git(root, "add", *paths)
    git(root, "commit", "--quiet", "--allow-empty", "--message", "Commit")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def study(make_study: MakeStudy) -> Study:
    study = make_study(OUTCOMES)
    git(study.root, "init", "--quiet")
    commit(study.root)
    return study


def train(study: Study, at: str) -> None:
    for seed in (0, 1):
        study.write_record(Cell("plain8", seed), commit=at)


def check(study: Study) -> RegistrationCheck:
    return check_registration(study.config, study.results(), study.root / "runs")


def register(study: Study) -> str:
    make_registration(study.config).write(study.root / REGISTRATION)
    return commit(study.root, REGISTRATION)


@pytest.mark.parametrize("dirty", ["", "-dirty"])
def test_runs_after_the_registration_are_registered(study: Study, dirty: str) -> None:
    registered = register(study)
    train(study, commit(study.root) + dirty)
    assert check(study) == RegistrationCheck(True, f"commit {registered[:12]}")
    assert all(verdict.registered for verdict in study.content().verdicts)
    assert f"registered: commit {registered[:12]}." in study.page()


def test_runs_before_the_registration_are_exploratory(study: Study) -> None:
    before = git(study.root, "rev-parse", "HEAD")
    register(study)
    train(study, before)
    assert check(study) == RegistrationCheck(False, "plain8-0 was trained before the registration")


def test_a_result_that_was_known_is_exploratory_however_late_it_is_computed_again(study: Study) -> None:
    commit(study.root, "-f", "runs")
    register(study)
    train(study, commit(study.root))
    assert check(study) == RegistrationCheck(False, "the result of plain8-0 was known at the registration")


def test_without_a_registration_verdicts_are_exploratory(study: Study) -> None:
    assert check(study) == RegistrationCheck(False, "nothing was registered before the runs")
    make_registration(study.config).write(study.root / REGISTRATION)
    assert check(study).text == f"{REGISTRATION} is not committed"


@pytest.mark.parametrize(
    ("field", "value"), [("seeds", [0]), ("networks", ["plain20"]), ("rules", "0"), ("parameters", "0")]
)
def test_what_was_registered_must_be_what_ran(study: Study, field: str, value: object) -> None:
    other = make_registration(study.config).model_copy(update={field: value})
    other.write(study.root / REGISTRATION)
    train(study, commit(study.root, REGISTRATION))
    assert check(study) == RegistrationCheck(False, f"{REGISTRATION} has other {field}")


def test_a_run_without_a_record_is_exploratory(make_study: MakeStudy) -> None:
    study = make_study(OUTCOMES, records=False)
    git(study.root, "init", "--quiet")
    register(study)
    assert check(study) == RegistrationCheck(False, "the commit of plain8-0 is unknown")
