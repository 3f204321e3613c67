"""Charts: what is cut off is marked, bars and bands mean one thing, and the key says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from resgrid.reporting.analysis_charts import layer_responses
from resgrid.reporting.axes import linear_axis
from resgrid.reporting.chart import Band, Chart, ChartGroup, Cut, Mark
from resgrid.reporting.charts import overview
from resgrid.reporting.headline import headline
from resgrid.reporting.style import Style, network_styles

if TYPE_CHECKING:
    from tests.reporting.conftest import MakeStudy, Study

STYLE = Style("Plain", "", "o", "#000000", "#ffffff", "d8")


def make_chart() -> Chart:
    return Chart("", linear_axis("", 0, 10), linear_axis("", 0, 50), "")


def cuts(chart: Chart) -> list[tuple[float, str]]:
    return [(element.x, element.tooltip) for element in chart.elements if isinstance(element, Cut)]


def test_a_line_is_marked_where_it_last_leaves_the_chart() -> None:
    chart = make_chart()
    chart.line([1, 2, 3, 4], [90, 60, 40, np.nan], STYLE, "plain8")
    chart.line([1, 2], [50, 40], STYLE, "plain20")
    assert cuts(chart) == [(2.0, "plain8: cut off, up to 90")]


def test_a_bar_is_marked_where_it_leaves_the_chart() -> None:
    chart = make_chart()
    chart.mark(3, 45, STYLE, "plain8", "", "", (38, 61.5))
    chart.mark(4, 45, STYLE, "plain20", "", "", (42, 48))
    assert cuts(chart) == [(3, "plain8: cut off, up to 61.5")]


def test_the_key_names_what_a_figure_contains() -> None:
    chart = make_chart()
    chart.line([1, 2], [90, 60], STYLE, "plain8", "thin")
    assert ChartGroup((chart,), ()).key == [
        "thin line: training error, bold line: validation error",
        "line: mean over seeds",
        "▲ at the top: cut off",
    ]


def test_the_first_picture_has_confidence_intervals(make_study: MakeStudy) -> None:
    results = make_study({"plain8": [(1, 4), (1, 6), (1, 8)], "resnet8-A": [(1, 2), (1, 2), (1, 2)]}).results()
    group = overview(results, network_styles(results))
    assert group is not None
    plain, residual = (element for element in group.charts[0].elements if isinstance(element, Mark))
    assert plain.bar == results.networks[0].errors["test_error"].percent_interval
    assert plain.bar is not None
    assert plain.bar[0] < 1.5 < plain.bar[1]
    assert residual.bar is None  # equal values


def test_bands_reach_from_the_lowest_to_the_highest_seed(analyzed: Study) -> None:
    results = analyzed.results()
    found = layer_responses(results, network_styles(results))
    assert found is not None
    band = next(element for element in found.charts[0].elements if isinstance(element, Band))
    seeds = [cell.tables["responses"]["std"] for cell in results.by_depth[0].cells]
    assert band.lows == pytest.approx(np.minimum(seeds[0].to_numpy(), seeds[1].to_numpy()))
    assert band.highs == pytest.approx(np.maximum(seeds[0].to_numpy(), seeds[1].to_numpy()))


def test_the_headline_compares_the_deepest_pair(make_study: MakeStudy) -> None:
    assert headline(make_study().results()) == (
        "At 20 layers, the mean test error is 7.00% (95% confidence interval 0.03 to 24.41) without shortcuts "
        "(plain20) and 1.75% (95% confidence interval 0.01 to 6.30) with option A (resnet20-A); "
        "at 8 layers, it is 1.25% and 0.75%."
    )


def test_without_a_pair_the_headline_names_the_extremes(make_study: MakeStudy) -> None:
    results = make_study({"vgg16-cifar": [(1, 4)], "plain8": [(1, 8)]}).results()
    assert headline(results) == "The lowest mean test error is 1.00% (vgg16-cifar), the highest 2.00% (plain8)."
