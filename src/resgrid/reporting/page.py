"""The page, one self-contained HTML file, and the Markdown report."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from resgrid import paper
from resgrid.artifacts.data_card import DatasetCard
from resgrid.config.report import ReportParams
from resgrid.names import PlainOrResidual
from resgrid.reporting import analysis_charts, charts
from resgrid.reporting.chart import ChartGroup
from resgrid.reporting.confusions import confusion_maps, most_confused
from resgrid.reporting.content import Content
from resgrid.reporting.convergence import convergence
from resgrid.reporting.execution import group_executions
from resgrid.reporting.paper_comparison import (
    comparability,
    comparable_errors,
    compare_with_published,
    is_imagenet,
)
from resgrid.reporting.rendering import html_template, markdown_template
from resgrid.reporting.results import Results
from resgrid.reporting.selection import selections
from resgrid.reporting.style import network_styles
from resgrid.reporting.time_to_error import TARGETS, times_to_errors

_CONFUSIONS_LISTED = 5
_MAPPED_CLASSES = 20  # more would make a confusion matrix unreadable
_OPEN_CONFUSIONS = 12
_MAPS_BYTES = 1_500_000  # of pictures inside the page


def render_page(content: Content) -> str:
    """Return the page with its styles, charts and script inside; it loads nothing."""
    script = Markup(files("resgrid.reporting").joinpath("templates", "script.js").read_text(encoding="utf-8"))
    return html_template("index.html.j2").render(
        content.variables(),
        **(_result_variables(content) if content.results.networks else {"styles": {}}),
        **_run_variables(content),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def render_markdown(content: Content) -> str:
    """Return verdicts and errors as Markdown, for a pull request."""
    return markdown_template("report.md.j2").render(content.variables())


def activation_maps(results: Results) -> dict[str, str | None]:
    """Return the class activation maps of each network's first seed that has them, as a data URL, by cell.

    None for maps beyond the page's limit; the shallowest and the deepest network of each kind come first.
    """
    first = {
        network.name: next((cell for cell in network.cells if cell.activation_maps is not None), None)
        for network in results.networks
    }
    ends = [networks[place].name for networks in results.by_kind.values() for place in (-1, 0)]
    maps: dict[str, str | None] = {}
    size = 0
    for name in dict.fromkeys([*ends, *(network.name for network in results.by_depth)]):
        cell = first[name]
        if cell is None or cell.activation_maps is None:
            continue
        picture = cell.activation_maps.read_bytes()
        size += len(picture)
        url = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
        maps[cell.cell.name] = url if size <= _MAPS_BYTES else None
    return maps


def _result_variables(content: Content) -> dict[str, Any]:
    """Return the variables of the sections that need a cell that didn't diverge."""
    return {
        **_chart_variables(content),
        **_confusion_variables(content),
        **_paper_variables(content),
        "kinds": content.results.by_kind,
        "maps": activation_maps(content.results),
        "selections": selections(content.results),
        "targets": TARGETS,
        "times_to_errors": times_to_errors(content.results),
        "convergence": [convergence(network) for network in content.results.by_depth],
    }


def figures(content: Content) -> dict[str, ChartGroup]:
    """Return the figures of the page by name, without those that can't be drawn; no figures without results."""
    results, milestones = content.results, content.config.schedule.milestones
    if not results.networks:
        return {}
    styles, top = network_styles(results), charts.top_of_curves(results)
    drawn = {
        "overview": charts.overview(results, styles),
        "depth": charts.errors_by_depth(
            results, styles, comparable_errors(content.config, content.card, content.results.all_cells)
        ),
        "curves-together": charts.curves_by_error(results, styles, milestones, top),
        "curves": charts.curves_by_kind(results, styles, milestones, top),
        "cost": charts.errors_by_cost(results, styles),
        "responses": analysis_charts.layer_responses(results, styles),
        "gradients": analysis_charts.gradient_flow(results, styles),
        "blocks": analysis_charts.blocks(results, styles),
        **analysis_charts.other_analyses(results, styles),
    }
    return {name: group for name, group in drawn.items() if group is not None}


def _chart_variables(content: Content) -> dict[str, Any]:
    results, drawn = content.results, figures(content)
    own = ("overview", "depth", "curves-together", "curves", "cost", "responses", "gradients", "blocks")
    return {
        "styles": network_styles(results),
        "top_of_curves": charts.top_of_curves(results),
        "curve_data": _for_script(charts.curve_data(results)),
        "figures": {name: drawn.get(name) for name in own},
        "other_analyses": {name: group for name, group in drawn.items() if name not in own},
    }


def has_readable_confusions(card: DatasetCard) -> bool:
    """Return whether the classes are few enough for confusion matrices."""
    return len(card.classes) <= _MAPPED_CLASSES


def _confusion_variables(content: Content) -> dict[str, Any]:
    results, classes = content.results, content.card.classes
    mapped = has_readable_confusions(content.card)
    listed = (
        {} if mapped else {each.name: most_confused(each, classes, _CONFUSIONS_LISTED) for each in results.by_depth}
    )
    return {
        "confusions": confusion_maps(results, classes) if mapped else {},
        "open_confusions": len(results.networks) <= _OPEN_CONFUSIONS,
        "most_confused": listed,
    }


def _paper_variables(content: Content) -> dict[str, Any]:
    comparisons = compare_with_published(content.results, content.config, content.card)
    return {
        "paper": paper,
        "published": {comparison.published: comparison for comparison in comparisons},
        "comparability": comparability(content.config, content.card, content.results.all_cells),
        "options_by_depth": _options_by_depth(content.results),
    }


def _run_variables(content: Content) -> dict[str, Any]:
    cells = content.results.all_cells
    return {
        "cells": cells,
        "on_imagenet": is_imagenet(content.card),
        "recipe": _recipe(content.config),
        "executions": group_executions(cells),
        "precisions": sorted({cell.train.precision for cell in cells}),
        "unrecorded": [cell.cell.name for cell in cells if cell.record is None],
    }


def _options_by_depth(results: Results) -> list[tuple[int, dict[str, str]]]:
    """Return the paper's own networks as names by shortcut (`none`, `A`, `B`, `C`), by depth; CIFAR-10's first."""
    rows: dict[tuple[str, int], dict[str, str]] = {}
    for result in results.by_depth:
        network = result.network
        if isinstance(network, PlainOrResidual) and network.modifier in ("", "imagenet"):
            rows.setdefault((network.modifier, network.depth), {})[network.shortcut] = network.name
    return [(depth, names) for (_, depth), names in sorted(rows.items())]


def _recipe(config: ReportParams) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return every parameter of the experiment, by section of `params.yaml`."""
    experiment = config.model_dump(mode="json", exclude={"sweep", "search"})
    sections = {name: value for name, value in experiment.items() if isinstance(value, dict)}
    return [(name, list(_flat(value))) for name, value in sections.items()]


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in section.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _parameter(value)


def _parameter(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_parameter(entry) for entry in value) or "none"
    return "none" if value is None or value == {} else str(value)


def _for_script(data: dict[str, Any]) -> Markup:
    """Return JSON for a script element; no value can end the element."""
    return Markup(json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))
