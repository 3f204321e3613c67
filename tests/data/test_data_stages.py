"""The two pipeline stages as commands: files appear, and a mistake gives one plain line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from resgrid.artifacts.data_card import PreparedPaths
from support.data_formats import contents

ROOT = Path(__file__).parents[2]


def run(stage: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"pipeline.{stage}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(autouse=True)
def _params() -> None:
    shutil.copy(ROOT / "presets/digits.yaml", "params.yaml")


def test_digits_go_from_nothing_to_arrays() -> None:
    for stage in ("download", "preprocess"):
        process = run(stage)
        assert process.returncode == 0, process.stderr
    assert contents(Path("data/raw")).keys() == {"digits.csv"}
    assert contents(Path("data/prepared")).keys() == {
        *(f"{split}/{name}.npy" for split in ("train", "val", "test") for name in ("images", "labels")),
        "mean_image.npy",
        "samples.png",
        "card.json",
    }
    assert PreparedPaths().card.exists()


def test_a_mistake_is_one_plain_line() -> None:
    process = run("preprocess")
    assert process.returncode == 1
    assert process.stderr == "error: data/raw/digits.csv: is missing; run `dvc repro download`\n"
