"""A sweep as a DVC experiment: parameters set first, results saved under a name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from resgrid.sweep.experiment import check_name, set_parameters
from support.repository import ROOT, Repository
from support.swept_repository import SweptRepository


def test_parameters_are_set_and_comments_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    config = set_parameters(["optimizer.lr=0.05", "grid.seed=[3,4]"])
    assert (config.optimizer.lr, config.grid.seed) == (0.05, [3, 4])
    text = Path("params.yaml").read_text(encoding="utf-8")
    assert text.count("#") == (ROOT / "params.yaml").read_text(encoding="utf-8").count("#")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimizer.lrr=1", "--set: 'optimizer.lrr=1': Could not override 'optimizer.lrr'"),
        ("optimizer.lr", "--set: 'optimizer.lr': Error parsing override 'optimizer.lr'"),
        ("[[", r"--set: '\[\['"),
        ("optimizer.lr=-1", "optimizer.lr: -1: should be greater than 0"),
        ("grid.network=[plain9]", r"grid.network\[0\]: 'plain9'"),
    ],
)
def test_a_wrong_change_is_named_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, message: str
) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        set_parameters([change])
    assert Path("params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_a_taken_or_invalid_name_is_refused_before_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").touch()
    repository = Repository(tmp_path)
    repository.run("git", "init", "-q")
    repository.commit("an empty repository")
    monkeypatch.chdir(tmp_path)
    check_name("low-rate")
    commit = repository.run("git", "rev-parse", "HEAD").stdout.strip()
    repository.run("git", "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/low-rate", commit)
    with pytest.raises(ValueError, match=r"--exp: 'low-rate': the name is taken; use another"):
        check_name("low-rate")
    with pytest.raises(ValueError, match=r"--exp: 'a/b': Invalid exp name"):
        check_name("a/b")


@pytest.mark.slow
def test_a_sweep_becomes_an_experiment(swept: SweptRepository) -> None:
    done = swept.sweep("SET=optimizer.lr=0.02", "EXP=low-rate")
    assert done.returncode == 0, done.stderr
    (shown,) = [
        experiment
        for baseline in json.loads(swept.run("dvc", "exp", "show", "--json").stdout)
        for experiment in baseline["experiments"] or []
    ]
    assert shown["name"] == "low-rate"
    assert shown["revs"][0]["data"]["params"]["params.yaml"]["data"]["optimizer"]["lr"] == 0.02
