"""The comparison of two versions as a page and as Markdown."""

from __future__ import annotations

from typing import Any

from resgrid.reporting.axes import category_axis, linear_axis
from resgrid.reporting.chart import Chart
from resgrid.reporting.comparison import Comparison
from resgrid.reporting.formatting import estimate
from resgrid.reporting.rendering import html_template, markdown_template
from resgrid.reporting.style import Style
from resgrid.reporting.versions import ComparedMeasure

_STYLE = Style("Difference", "", "o", "#0b5cad", "#82b7f2", "compared")
_TITLES: dict[ComparedMeasure, str] = {"test_error": "Test error", "train_error": "Training error"}


def render_comparison_page(comparison: Comparison) -> str:
    """Return a page that loads nothing."""
    charts = [_differences(comparison, measure) for measure in _TITLES]
    return html_template("comparison.html.j2").render(_variables(comparison), charts=charts, style=_STYLE)


def render_comparison_markdown(comparison: Comparison) -> str:
    """Return Markdown, for a pull request."""
    return markdown_template("comparison.md.j2").render(_variables(comparison))


def _variables(comparison: Comparison) -> dict[str, Any]:
    return {**vars(comparison), "sentence": comparison.sentence, "same_data": comparison.same_data}


def _differences(comparison: Comparison, measure: ComparedMeasure) -> Chart:
    """Draw each network's difference with its confidence interval."""
    differences = {network.network: network.differences[measure] for network in comparison.networks}
    ends = [end for each in differences.values() for end in (each.interval or (each.mean, each.mean))]
    low, high = min(0.0, *ends), max(0.0, *ends)
    room = 0.08 * (high - low) or 1.0
    title = f"{_TITLES[measure]}: after minus before"
    texts = [f"{name} {estimate(each.mean, each.interval, 'points')}" for name, each in differences.items()]
    y = linear_axis("difference (points)", low - room, high + room)
    chart = Chart(title, category_axis("network", list(differences)), y, f"{title}. {'; '.join(texts)}.")
    chart.connect([-0.5, len(differences) - 0.5], [0, 0], _STYLE)
    for index, (text, (name, each)) in enumerate(zip(texts, differences.items(), strict=True)):
        chart.mark(index, each.mean, _STYLE, name, text, "", each.interval)
    return chart
