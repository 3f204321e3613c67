"""Reading the grid's files, and what they come to over the seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from resgrid.reporting.reading import read_card
from resgrid.reporting.results import ResultsError
from resgrid.reporting.statistics import Sample

if TYPE_CHECKING:
    from tests.reporting.conftest import MakeStudy


def test_a_spread_has_the_mean_and_the_sample_deviation() -> None:
    spread = Sample((1.0, 2.0, 6.0))
    assert spread.n == 3
    assert spread.mean == 3.0
    assert spread.standard_deviation == pytest.approx(7**0.5)  # (4 + 1 + 9) / (3 - 1)


def test_one_seed_has_no_deviation() -> None:
    assert Sample((2.5,)).standard_deviation is None


def test_cells_and_networks_keep_the_order_of_the_grid(make_study: MakeStudy) -> None:
    results = make_study().results()
    assert [network.name for network in results.networks] == ["plain8", "plain20", "resnet8-A", "resnet20-A"]
    assert [cell.cell.name for cell in results.cells][:3] == ["plain8-0", "plain8-1", "plain20-0"]
    assert [network.name for network in results.by_depth] == ["plain8", "resnet8-A", "plain20", "resnet20-A"]


def test_errors_are_aggregated_over_the_seeds(make_study: MakeStudy) -> None:
    plain20 = make_study().results().networks[1]
    assert plain20.errors["train_error"].values == (6.0, 8.0)
    assert plain20.errors["test_error"].mean == 7.0  # 24 and 32 wrong images of 400
    assert plain20.errors["test_error"].standard_deviation == pytest.approx(2**0.5)
    assert plain20.errors["selected_test_error"].mean == 7.75


def test_confusions_are_counted_by_actual_class_and_summed_over_seeds(make_study: MakeStudy) -> None:
    study = make_study({"plain8": [(0.0, 1), (0.0, 1)]}, card={"classes": ["cat", "dog"]})
    for seed in (0, 1):
        rows = ["actual,predicted", *["cat,cat"] * 150, "cat,dog", *["dog,dog"] * 249]
        study.paths("plain8", seed).confusion.write_text("\n".join(rows))
    assert np.array_equal(study.results().networks[0].confusion, [[300, 2], [0, 498]])


def test_class_names_are_text_whatever_they_look_like(make_study: MakeStudy) -> None:
    study = make_study(card={"classes": ["007", "7", "null", "NA", "1.0"]})
    assert study.results().cells[0].confusion.sum() == 400


def test_folders_outside_the_grid_are_not_read(make_study: MakeStudy) -> None:
    study = make_study()
    (study.root / "runs/plain56-0").mkdir()
    (study.root / "runs/plain56-0/metrics.json").write_text("of a cell that was removed")
    assert len(study.results().cells) == 8


@pytest.mark.parametrize("file", ["metrics.json", "evaluation.json", "curve.csv", "confusion.csv"])
def test_a_missing_file_is_named_and_nothing_is_written(make_study: MakeStudy, file: str) -> None:
    study = make_study()
    (study.paths("plain20", 1).root / file).unlink()
    with pytest.raises(ResultsError, match=rf"(?s)1 of 8 cells.*plain20-1: {file}.*dvc repro"):
        study.report()
    assert not (study.root / "reports").exists()


def test_many_missing_cells_are_counted_and_the_first_ones_named(make_study: MakeStudy) -> None:
    study = make_study({f"resnet{depth}-A": [(1.0, 4), (1.0, 4)] for depth in (8, 14, 20, 26, 32, 44)})
    for cell in study.config.grid.cells:
        study.paths(cell.network, cell.seed).metrics.unlink()
    with pytest.raises(ResultsError, match=r"(?s)12 of 12 cells.*resnet8-A-0: metrics.json.*and 2 more"):
        study.results()


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("metrics.json", "{", "metrics.json: damaged"),
        ("metrics.json", "{}", "metrics.json: damaged: network: Field required"),
        ("evaluation.json", '{"test_loss": 1}', "evaluation.json: damaged: test_error"),
        ("curve.csv", "", "curve.csv: damaged"),
        ("curve.csv", "step,loss\n1,2\n", "curve.csv: has the columns step, loss"),
        ("curve.csv", "step,epoch,lr,train/loss,train/error,val/loss,val/error\n", "curve.csv: has no rows"),
        (
            "confusion.csv",
            "actual,predicted\n" + "0,zebra\n" * 400,
            "confusion.csv: has a class that is not in the data",
        ),
        (
            "confusion.csv",
            "actual,predicted\n" + "0,0\n" * 399,
            "confusion.csv: has 399 images, evaluation.json 400",
        ),
        ("confusion.csv", "actual,predicted\n" + "0,0\n" * 400, "confusion.csv: has a test error of 0.000%"),
    ],
)
def test_broken_or_contradicting_files_are_refused(make_study: MakeStudy, file: str, text: str, problem: str) -> None:
    study = make_study()
    (study.paths("plain20", 1).root / file).write_text(text)
    with pytest.raises(ResultsError, match="dvc repro") as error:
        study.results()
    assert problem in str(error.value)
    assert "plain20-1" in str(error.value)


def test_files_of_another_cell_are_refused(make_study: MakeStudy) -> None:
    study = make_study()
    study.paths("plain20", 1).metrics.write_bytes(study.paths("plain20", 0).metrics.read_bytes())
    with pytest.raises(ResultsError, match="belongs to plain20 with seed 0"):
        study.results()


def test_data_that_are_not_prepared_are_a_clear_error(make_study: MakeStudy) -> None:
    with pytest.raises(ResultsError, match=r"card.json: missing.*dvc repro"):
        read_card(make_study().root)
