"""Figures of a cell's files for its run in MLflow."""

from pathlib import Path

import pytest

from resgrid.tracking.figures import FIGURES, draw_columns

RESPONSES = "index,layer,std"
BLOCKS = "index,block,residual_ratio,lesion_error,intact_error"
GRADIENTS = "step,index,layer,gradient_norm,update_ratio"


@pytest.mark.parametrize(
    ("file", "rows"),
    [
        ("confusion.csv", ["actual,predicted", "1,1", "1,2", "2,2"]),
        ("curve.csv", ["step,train/error,val/error", "10,50,60", "20,40,50"]),
        ("responses.csv", [RESPONSES, "1,conv1,0.5", "2,conv2,0.25"]),
        ("gradients.csv", [GRADIENTS, "1,1,conv1,2.0,0.1", "1,2,linear,0.0,inf", "4,1,conv1,nan,0.1"]),
        ("blocks.csv", [BLOCKS, "1,b1,0.5,50,9", "2,b2,0.25,50,9"]),
        ("blocks.csv", [BLOCKS, "1,b1,,50,9", "2,b2,,50,9"]),
        ("ranks.csv", ["index,layer,rank", "1,conv1,3", "2,conv2,2"]),
    ],
)
def test_tables_are_drawn_as_png(tmp_path: Path, file: str, rows: list[str]) -> None:
    (tmp_path / file).write_text("\n".join(rows))
    picture = FIGURES.get(file, draw_columns)(tmp_path / file)
    assert (picture or b"").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("file", "header"),
    [("responses.csv", RESPONSES), ("gradients.csv", GRADIENTS), ("blocks.csv", BLOCKS), ("ranks.csv", RESPONSES)],
)
def test_tables_without_rows_are_not_drawn(tmp_path: Path, file: str, header: str) -> None:
    (tmp_path / file).write_text(header)
    assert FIGURES.get(file, draw_columns)(tmp_path / file) is None
