"""Time to an error, in steps and seconds, from curves written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from resgrid.cells import Cell
from resgrid.reporting.formatting import rounded
from resgrid.reporting.statistics import Sample
from resgrid.reporting.time_to_error import times_to_errors

if TYPE_CHECKING:
    from tests.reporting.conftest import MakeStudy, Study


def write_errors(study: Study, seed: int, errors: list[float]) -> None:
    path = study.paths("plain8", seed).curve
    curve = pd.read_csv(path)
    curve.loc[: len(errors) - 1, "val/error"] = errors
    curve.loc[len(errors) :, "val/error"] = errors[-1]
    curve.to_csv(path, index=False)


def test_the_first_validation_at_the_error_counts_if_every_seed_reaches_it(make_study: MakeStudy) -> None:
    study = make_study({"plain8": [(1.0, 4), (1.0, 4)]})
    write_errors(study, 0, [60, 45, 55, 20, 8])
    write_errors(study, 1, [40, 30, 15])
    half, fifth, *lower = times_to_errors(study.results())["plain8"]
    assert half is not None
    assert half.steps.values == (56, 28)
    assert half.seconds is not None
    assert half.seconds.values == pytest.approx((56 / 560 * 30, 28 / 560 * 30))  # 30 s for 560 steps
    assert fifth is not None
    assert fifth.steps.values == (112, 84)
    assert lower == [None, None]


def test_without_records_there_are_steps_only(make_study: MakeStudy) -> None:
    study = make_study({"plain8": [(1.0, 4)]}, records=False)
    study.write_cell(Cell("plain8", 0), 1.0, 4)
    times = times_to_errors(study.results())["plain8"]
    assert times[0] is not None
    assert times[0].seconds is None


def test_times_are_shown_with_their_spread() -> None:
    assert rounded(Sample((140.0, 160.0))) == "150 ± 14"
    assert rounded(Sample((4.24,))) == "4.2"
