"""What two GPUs must do together, in real processes under NCCL; needs neither mlflow nor dvc nor ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from support.prepared_data import make_prepared_cell
from support.repository import ROOT

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("default"),  # older packages warn of other things
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="torch can use fewer than two GPUs here"),
]


def run_program(name: str, gpus: int, **train: object) -> None:
    """Run a program of tests/training in the working folder, with parameters of the preset and of the test."""
    yaml = YAML(typ="safe", pure=True)
    values = yaml.load(ROOT / "presets/cifar10-jpeg.yaml")
    values["schedule"]["milestones"] = []
    values["train"].update(
        {"max_steps": 4, "val_every": 2, "batch_size": 8, "precision": "32", "devices": gpus} | train
    )
    yaml.dump(values, Path("params.yaml"))
    program = str(ROOT / "tests/training" / name)
    subprocess.run(
        [sys.executable, program], check=True, timeout=300, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}
    )


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_prepared_cell()


def test_one_and_two_gpus_count_the_same_to_the_integer() -> None:
    scores: dict[int, list[float]] = {}
    for gpus in (1, 2):
        run_program("score_split.py", gpus)
        scores[gpus] = [float(number) for number in Path("score.txt").read_text().split()]
    assert scores[1][:2] == scores[2][:2]
    assert scores[1][2] == pytest.approx(scores[2][2], rel=1e-6)


@pytest.mark.parametrize("sync_batchnorm", [False, True])
def test_two_gpus_train_without_broadcasts_and_copies(sync_batchnorm: bool) -> None:
    run_program("fit_on_ranks.py", 2, sync_batchnorm=sync_batchnorm)
    seen = json.loads(Path("seen.json").read_text())
    assert seen == {
        "syncs buffers": [False] * 4,
        "gradients are views": [True] * 4,
        "same strides": [True] * 4,
        "images": 20,
    }
