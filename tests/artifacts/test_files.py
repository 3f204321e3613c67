"""Records as JSON: strict JSON for every value, and the same record back."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from resgrid.artifacts.cell_files import TestMetrics


def metrics(error: float, classes: dict[str, float]) -> TestMetrics:
    return TestMetrics(
        test_loss=math.inf, test_error=error, selected_test_error=10.0, per_class_error=classes, images=10
    )


def test_nan_and_infinity_are_null_and_read_as_nan(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    metrics(math.nan, {"cat": math.nan, "dog": 1.5}).write(path)
    assert json.loads(path.read_text(), parse_constant=pytest.fail) == {
        "test_loss": None,
        "test_error": None,
        "selected_test_error": 10.0,
        "per_class_error": {"cat": None, "dog": 1.5},
        "images": 10,
        "test_top5_error": None,
    }
    back = TestMetrics.read(path)
    assert math.isnan(back.test_loss)
    assert math.isnan(back.test_error)
    assert math.isnan(back.per_class_error["cat"])
    assert (back.per_class_error["dog"], back.test_top5_error) == (1.5, None)


def test_numbers_come_back_in_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(
        '{"test_loss": 1.0, "test_error": 2.5, "selected_test_error": 3.0, "per_class_error": {}, "images": 4}'
    )
    record = TestMetrics.read(path)
    record.write(path)
    assert TestMetrics.read(path) == record
    path.write_text('{"test_loss": "x"}')
    with pytest.raises(ValueError, match=r"evaluation.json: is damaged"):
        TestMetrics.read(path)
