"""A cell of 100 steps is replayed with changed code: what is accepted, what is refused, and what is said of it."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from resgrid.acceptance.replay import Replayed, replay_training
from resgrid.acceptance.replays import run_in_forks
from resgrid.artifacts.cell_files import CellPaths
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.cells import Cell
from resgrid.config.reading import load_params
from resgrid.config.train import TrainParams
from resgrid.training import fit
from resgrid.training.accumulator import Score
from resgrid.training.schedule import LearningRate
from resgrid.training.trace import Window, anchors_bytes
from sources.mutations import draw_mutation
from support.repository import Repository

CELL = Cell("plain8", 0)
WINDOWS = [Window(0, 20), Window(30, 50), Window(60, 80), Window(90, 100)]


@pytest.fixture(scope="module")
def trained(prepared_repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A committed cell of 100 steps with drops of the learning rate after 40 and 70; for tests that change nothing."""
    root = tmp_path_factory.mktemp("trained") / "repository"
    shutil.copytree(prepared_repository.root, root, symlinks=True)
    repository = Repository(root)
    repository.set_params(
        grid={"network": [CELL.network]},
        schedule={"milestones": [40, 70]},
        train={"max_steps": 100, "val_every": 20},
    )
    repository.run("dvc", "repro", f"evaluate@{CELL.name}")
    repository.commit("results")
    return repository


@pytest.fixture
def changed(trained: Repository, tmp_path: Path) -> Repository:
    """A copy whose code a test changes."""
    root = tmp_path / "repository"
    shutil.copytree(trained.root, root, symlinks=True)
    return Repository(root)


def edit(repository: Repository, path: str, old: str, new: str) -> None:
    file = repository.root / "src/resgrid" / path
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_a_refactoring_is_accepted_and_nothing_is_stale(changed: Repository) -> None:
    before = changed.dvc_lock()
    trained_with = changed.run("git", "rev-parse", "HEAD").stdout.strip()
    edit(changed, "models/blocks.py", "last_conv", "final_convolution")
    edit(changed, "models/blocks.py", "        y = x\n", "        result = y = x\n        del result\n")
    changed.commit("refactor")
    done = changed.run("python", "-m", "resgrid", "accept", COLUMNS="200")
    accepted = "accepted: 4,690 digests of 70 steps, 4 files of the training, 7 files of the evaluation"
    assert f"plain8-0: {accepted}" in done.stderr
    assert "up to date" in changed.run("dvc", "status").stdout
    after = changed.dvc_lock()
    for stage in ("train@plain8-0", "evaluate@plain8-0"):
        assert after[stage]["outs"] == before[stage]["outs"]
        assert after[stage] != before[stage]
    evidence = json.loads((changed.root / "runs/plain8-0/accepted.json").read_text())
    training, evaluation = evidence["links"]
    assert training["files"] == evaluation["files"] == ["src/resgrid/models/blocks.py"]
    assert training["windows"] == [[1, 20], [31, 50], [61, 80], [91, 100]]
    assert training["commit"] == changed.run("git", "rev-parse", "HEAD").stdout.strip() != trained_with


def test_changes_of_training_and_evaluation_are_refused_and_named(changed: Repository) -> None:
    before = changed.dvc_lock()
    loss = "loss = F.cross_entropy(logits, labels)"
    edit(changed, "training/module.py", loss, f"{loss} * 1.0000002")
    edit(changed, "evaluation/metrics.py", "test_error=100 * wrong", "test_error=101 * wrong")
    done = changed.run("python", "-m", "resgrid", "accept", check=False, COLUMNS="300")
    assert done.returncode == 1
    assert "plain8-0: different: train: step 1: network.conv1.weight: its norm is " in done.stderr
    assert "plain8-0: different: evaluate: evaluation.json: test_error: " in done.stderr
    after = changed.dvc_lock()
    for stage in ("train@plain8-0", "evaluate@plain8-0"):
        assert after[stage] == before[stage]
    assert not (changed.root / "runs/plain8-0/accepted.json").exists()


def higher_rate(first: int, last: int) -> Callable[[], None]:
    """Make a change that only matters in some steps, counted from 1."""

    def change() -> None:
        original = LearningRate.at
        LearningRate.at = lambda self, step: original(self, step) * (1 + 1e-6 * (first <= step + 1 <= last))

    return change


def other_validation() -> None:
    """Change the last bits of the validation loss of the final weights."""
    original = fit.score

    def score(training: fit.Training, split: str) -> Score:
        found = original(training, split)  # pyright: ignore[reportArgumentType]
        return Score(found.loss * (1 + 1e-15), found.error, found.images) if split == "val" else found

    fit.score = score


def test_each_change_in_a_window_is_found_at_its_step(changed: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """The changes are made in forks, at run time, so that one test can afford many."""
    monkeypatch.chdir(changed.root)
    changes: dict[str, Callable[[], None]] = {
        "none": lambda: None,
        "step 1": higher_rate(1, 1),
        "after the second drop": higher_rate(71, 100),
        "the last step": higher_rate(100, 100),
        "the final validation": other_validation,
        "between the windows": higher_rate(21, 30),
    }
    params, card = load_params(TrainParams), DatasetCard.read(PreparedPaths().card)

    def replay(name: str) -> Replayed | str:
        changes[name]()
        try:
            return replay_training(CELL, params, card, 0)
        except Exception as found:
            return str(found)

    results = dict(run_in_forks(list(changes), replay, processes=2))
    same = results["none"]
    assert isinstance(same, Replayed)
    assert (same.windows, same.digests) == (WINDOWS, 70 * 67)
    assert str(results["step 1"]).startswith("step 1: network.conv1.weight: its norm is ")
    assert str(results["after the second drop"]).startswith("step 71: network.")
    assert str(results["the last step"]).startswith("step 100: network.")
    assert str(results["the final validation"]).startswith("metrics.json: val_loss: ")
    assert results["between the windows"] == same  # what a replay can't find


def test_without_anchors_the_first_window_and_the_measurements_are_replayed(
    changed: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(changed.root)
    anchors = CellPaths(CELL).anchors
    anchors.unlink()
    anchors.write_bytes(anchors_bytes({}))
    params, card = load_params(TrainParams), DatasetCard.read(PreparedPaths().card)
    ((_, result),) = run_in_forks([CELL], lambda cell: replay_training(cell, params, card, 0), processes=1)
    assert isinstance(result, Replayed), result
    assert result.windows == [Window(0, 20)]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_mutations_of_the_training_are_accepted_only_if_a_whole_training_has_the_same_trace(
    trained: Repository, tmp_path: Path
) -> None:
    """Ten seeded mutations of the code of a step, each replayed, and trained in full."""
    generator = random.Random(0)
    files = ["training/module.py", "training/schedule.py", "data/reading/batches.py", "models/blocks.py"]
    outputs = ("trace.safetensors", "weights.safetensors")
    refused = 0
    for number in range(10):
        root = tmp_path / str(number)
        shutil.copytree(trained.root, root, symlinks=True)
        mutant, path = Repository(root), generator.choice(files)
        text = (root / "src/resgrid" / path).read_text(encoding="utf-8")
        mutation = draw_mutation(text, generator)
        assert mutation is not None
        (root / "src/resgrid" / path).write_text(mutation.apply(text), encoding="utf-8")
        accepted = mutant.run("python", "-m", "resgrid", "accept", check=False).returncode == 0
        results = root / "runs/plain8-0"
        before = [(results / name).read_bytes() for name in outputs]
        for file in results.iterdir():
            file.unlink()
        repeated = mutant.run("python", "-m", "pipeline.train", "--network", "plain8", "--seed", "0", check=False)
        same = repeated.returncode == 0 and [(results / name).read_bytes() for name in outputs] == before
        assert accepted == same, (path, mutation)
        refused += not accepted
    assert refused
