"""Comparison of two versions: differences by seed, and what differs in verdicts, parameters and code."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from resgrid.reporting.comparison import compare
from resgrid.reporting.comparison_page import render_comparison_markdown, render_comparison_page
from resgrid.reporting.versions import Version, read_version

# Test errors by seed; training errors are half of them, validation errors one point more.
Errors = dict[str, list[float]]

BEFORE: Errors = {"plain8": [4.0, 5.0, 6.0, 5.5], "resnet8-A": [3.0, 3.5, 2.5, 3.0], "plain20": [9.0, 8.0, 9.0, 8.5]}


def write_version(root: Path, errors: Errors, lr: float = 0.1, answer: str = "reproduced", digest: str = "a") -> Path:
    def write(path: str, content: Any) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(json.dumps(content))

    for network, values in errors.items():
        for seed, error in enumerate(values):
            losses = {"train_loss": 0.1, "val_loss": 0.1}
            write(f"runs/{network}-{seed}/metrics.json", {"train_error": error / 2, "val_error": error + 1, **losses})
            write(f"runs/{network}-{seed}/evaluation.json", {"test_error": error, "test_loss": 0.1})
    seeds = list(range(max(map(len, errors.values()))))
    write("params.yaml", {"grid": {"network": list(errors), "seed": seeds}, "optimizer": {"lr": lr, "momentum": 0.9}})
    write("reports/verdicts.json", {"verdicts": [{"key": "degradation", "title": "Deeper is worse", "answer": answer}]})
    write("reports/summary.json", {"data": {"data_hash": "d"}})
    for network in errors:
        write(f"sources/train/{network}.json", {"packages": {"torch": "2"}, "files": {"src/step.py": digest}})
    return root


def read(root: Path, errors: Errors, **changes: Any) -> Version:
    return read_version(str(write_version(root, errors, **changes)))


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    after = {
        "plain8": [3.0, 4.0, 5.1, 4.4],
        "resnet8-A": [3.1, 3.4, 2.4, 3.2],
        "plain20": [12.0, 11.1, 12.0, 11.5],
    }
    comparison = compare(read(tmp_path / "a", BEFORE), read(tmp_path / "b", after))
    assert [network.outcome for network in comparison.networks] == ["lower", "not significant", "higher"]
    plain8 = comparison.networks[0]
    assert plain8.n == 4
    assert plain8.differences["test_error"].mean == pytest.approx(-1.0)
    assert plain8.differences["test_error"].interval == pytest.approx((-1.1299, -0.8701), abs=1e-4)
    assert plain8.differences["train_error"].mean == pytest.approx(-0.5)
    assert comparison.average is not None
    assert comparison.average.mean == pytest.approx((-1.0 + 0.025 + 3.025) / 3)
    assert "1 lower, 1 higher and 1 without a significant difference" in comparison.sentence


def test_equal_versions_have_no_differences(tmp_path: Path) -> None:
    comparison = compare(read(tmp_path / "a", BEFORE), read(tmp_path / "b", BEFORE))
    assert comparison.sentence == "All common cells have equal errors (3 networks)."
    assert comparison.parameters == comparison.verdicts == comparison.packages == ()
    assert comparison.code == {}


def test_changed_inputs_and_verdicts_are_listed(tmp_path: Path) -> None:
    after = {"plain8": [4.0, 5.0], "resnet20-A": [3.0, 3.0]}
    comparison = compare(
        read(tmp_path / "a", BEFORE), read(tmp_path / "b", after, lr=0.2, answer="contradicted", digest="b")
    )
    changes = {change.name: (change.before, change.after) for change in comparison.parameters}
    assert changes["optimizer.lr"] == (0.1, 0.2)
    assert "optimizer.momentum" not in changes
    assert [(change.name, change.after) for change in comparison.verdicts] == [("Deeper is worse", "contradicted")]
    assert comparison.code == {"src/step.py": ("train",)}
    assert comparison.only_after == ("resnet20-A-0", "resnet20-A-1")
    assert comparison.networks[0].n == 2
    markdown, page = render_comparison_markdown(comparison), render_comparison_page(comparison)
    assert "| `optimizer.lr` | 0.1 | 0.2 |" in markdown
    assert "Only in" in markdown
    assert "plain20-{0,1,2,3}" in page
    assert page.count('role="img"') == 2


def test_two_seeds_are_too_few(tmp_path: Path) -> None:
    few = {"plain8": [4.0, 5.0]}
    comparison = compare(read(tmp_path / "a", few), read(tmp_path / "b", {"plain8": [1.0, 2.1]}))
    assert [network.outcome for network in comparison.networks] == ["too few seeds"]


def test_a_diverged_cell_is_left_out(tmp_path: Path) -> None:
    root = write_version(tmp_path / "b", BEFORE)
    path = root / "runs/plain8-1/metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"train_loss": None}))
    comparison = compare(read(tmp_path / "a", BEFORE), read_version(str(root)))
    assert comparison.only_before == ("plain8-1",)


def test_commits_and_experiments_are_read_from_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.com"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.chdir(tmp_path)
    git("init")
    write_version(tmp_path, BEFORE)
    git("add", ".")
    git("commit", "-m", "before")
    write_version(tmp_path, BEFORE | {"plain8": [1.0, 1.0, 1.0, 1.0]}, lr=0.3)
    git("commit", "-am", "experiment")
    git("update-ref", "refs/exps/12/3456/bold-move", "HEAD")
    git("reset", "--hard", "HEAD~1")
    experiment, folder = read_version("bold-move"), read_version(".")
    assert experiment.parameters["optimizer.lr"] == 0.3
    assert experiment.label.startswith("bold-move (")
    assert folder.label == "this folder"
    assert compare(read_version("HEAD"), folder).sentence.startswith("All common cells have equal errors")
    assert compare(folder, experiment).networks[0].outcome == "lower"
    with pytest.raises(ValueError, match="nothing: neither a folder, a commit nor an experiment; use one"):
        read_version("nothing")
