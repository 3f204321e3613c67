"""The graph's code dependencies are the stages' import closures, and its parameters what the fingerprint hashes."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from resgrid.closure import import_closure
from resgrid.config.evaluate import EvaluateParams
from resgrid.config.train import TrainParams

ROOT = Path(__file__).parents[1]
STAGES: dict[str, dict[str, Any]] = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]


@pytest.mark.parametrize("stage", STAGES)
def test_code_dependencies_are_the_import_closure_no_more_and_no_less(stage: str) -> None:
    declared = {path for path in STAGES[stage]["deps"] if path.endswith(".py")}
    imported = {path.relative_to(ROOT).as_posix() for path in import_closure(ROOT / f"pipeline/{stage}.py").values()}
    assert declared == imported


def test_every_template_is_a_dependency_of_the_report() -> None:
    assert "src/resgrid/reporting/templates" in STAGES["report"]["deps"]


def test_the_cells_read_the_parameters_that_the_graph_names() -> None:
    assert set(STAGES["train"]["params"]) == set(TrainParams.model_fields)
    assert set(STAGES["evaluate"]["params"]) == set(EvaluateParams.model_fields)


def test_no_training_sees_the_test_split() -> None:
    assert not [path for path in STAGES["train"]["deps"] if "test" in path]
    assert [stage for stage in STAGES if "data/prepared/test" in STAGES[stage]["deps"]] == ["evaluate"]


def test_the_closure_follows_every_kind_of_import(tmp_path: Path) -> None:
    package = tmp_path / "steps"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "start.py").write_text(
        "import json\nfrom steps import direct\nfrom . import relative\n"
        "def later():\n    import steps.inside_a_function\n"
    )
    for name in ("direct", "relative", "unused"):
        (package / f"{name}.py").touch()
    (package / "inside_a_function.py").write_text("from steps.direct import something\n")
    assert list(import_closure(package / "start.py")) == [
        "steps",
        "steps.direct",
        "steps.inside_a_function",
        "steps.relative",
        "steps.start",
    ]
