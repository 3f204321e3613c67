"""The graph: each stage depends on its manifest and declares the sections of params.yaml that it reads."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from resgrid.config.data import DownloadParams, PreprocessParams
from resgrid.config.evaluate import EvaluateParams
from resgrid.config.reading import Section
from resgrid.config.report import ReportParams
from resgrid.config.train import TrainParams

ROOT = Path(__file__).parents[1]
STAGES: dict[str, dict[str, Any]] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
READ: dict[str, type[Section]] = {
    "download": DownloadParams,
    "preprocess": PreprocessParams,
    "train": TrainParams,
    "evaluate": EvaluateParams,
    "report": ReportParams,
}


@pytest.mark.parametrize("stage", READ)
def test_a_stage_declares_the_sections_that_it_reads(stage: str) -> None:
    assert set(STAGES[stage]["params"]) == set(READ[stage].model_fields)


@pytest.mark.parametrize("stage", READ)
def test_a_stage_depends_on_its_manifest_and_on_no_code(stage: str) -> None:
    per_network = "matrix" in STAGES[stage]
    manifest = f"sources/{stage}/${{item.network}}.json" if per_network else f"sources/{stage}.json"
    assert STAGES[stage]["deps"][0] == manifest
    assert not [path for path in STAGES[stage]["deps"] if path.startswith(("src", "pipeline"))]


def test_no_training_sees_the_test_split() -> None:
    assert not [path for path in STAGES["train"]["deps"] if "test" in path]
    assert [stage for stage in STAGES if "data/prepared/test" in STAGES[stage]["deps"]] == ["evaluate"]
