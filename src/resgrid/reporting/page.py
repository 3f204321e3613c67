"""The report as files: one self-contained page, a short one for pull requests, a summary for programs, the figures."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from resgrid import paper
from resgrid.artifacts.data_card import DatasetCard
from resgrid.artifacts.files import REPORTS, RUNS, write_atomically
from resgrid.artifacts.run_record import RunRecord, StageRecord
from resgrid.config.report import ReportParams
from resgrid.reporting import charts, provenance
from resgrid.reporting.claims import judge
from resgrid.reporting.ensembles import Ensemble, read_ensembles
from resgrid.reporting.formatting import caution, number, percent, points
from resgrid.reporting.paper_comparison import (
    comparability,
    comparable_errors,
    compare_with_published,
    differences_from_paper,
    is_imagenet,
)
from resgrid.reporting.results import PAPER_KINDS, CellResult, NetworkResult, Results, read_results, summarize
from resgrid.reporting.selection import selections
from resgrid.reporting.static_figures import draw_figures
from resgrid.reporting.style import kind_title, looks_of
from resgrid.reporting.svg import swatch
from resgrid.reporting.verdicts import Verdict

_CONFUSIONS_LISTED = 5
_MAPPED_CLASSES = 20  # more would make a confusion matrix unreadable
_OPEN_CONFUSIONS = 12
_MAPS_BYTES = 1_500_000  # of pictures inside the page
_ALIKE = {"commit", "hardware", "devices", "threads", "precision", "versions"}


@dataclass(frozen=True)
class Occasion:
    """Executions of one pipeline stage that had everything in common but their time."""

    stage: str
    cells: tuple[CellResult, ...]
    record: StageRecord


@dataclass(frozen=True)
class Confusion:
    """Two classes that a network mixes up; `share` in percent of the actual class's test images."""

    actual: str
    predicted: str
    images: int
    share: float


def write_report(config: ReportParams, card: DatasetCard, runs: Path = RUNS, into: Path = REPORTS) -> None:
    """Write `index.html`, `report.md`, `summary.json` and `figures/` (PNG and SVG) from the files of the grid's cells.

    Raises:
        ResultsError: cells lack files, or hold files that contradict each other; then nothing is written.
        OSError: a file can't be written.
    """
    results = read_results(config.grid.cells, card.classes, runs)
    ensembles = read_ensembles(results, card.classes, config.report.ensembles, runs)
    verdicts = judge(results, ensembles)
    content = {
        Path("index.html"): render_page(config, card, results, verdicts, ensembles).encode(),
        Path("report.md"): render_summary(config, card, results, verdicts, ensembles).encode(),
        Path("summary.json"): _json(summarize(config, card, results)),
    }
    for picture in draw_figures(results, config.schedule.milestones, comparable_errors(config, card)):
        content[Path("figures", f"{picture.name}.svg")] = picture.svg
        content[Path("figures", f"{picture.name}.png")] = picture.png
    for leftover in {path.relative_to(into) for path in (into / "figures").glob("*")} - content.keys():
        (into / leftover).unlink()
    for name, data in content.items():
        write_atomically(into / name, data)


def render_page(
    config: ReportParams,
    card: DatasetCard,
    results: Results,
    verdicts: Sequence[Verdict],
    ensembles: Sequence[Ensemble],
) -> str:
    """The page, with its style, its charts and its script inside: it loads nothing."""
    looks, milestones, top = looks_of(results), config.schedule.milestones, charts.top_of_curves(results)
    script = Markup(files("resgrid.reporting").joinpath("templates", "script.js").read_text(encoding="utf-8"))
    mapped = len(card.classes) <= _MAPPED_CLASSES
    return (
        _environment(autoescape=True)
        .get_template("index.html.j2")
        .render(
            _shared(config, card, results, verdicts, ensembles),
            looks=looks,
            kinds=results.by_kind,
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            curve_data=_for_script(charts.curve_data(results)),
            fig_1=charts.curves_by_error(results, looks, milestones, top),
            fig_6=charts.curves_by_kind(results, looks, milestones, top),
            fig_7=charts.layer_responses(results, looks),
            top_of_curves=top,
            by_depth=charts.errors_by_depth(results, looks, comparable_errors(config, card)),
            by_cost=charts.errors_by_cost(results, looks),
            gradients=charts.gradient_flow(results, looks),
            blocks=charts.blocks(results, looks),
            maps=activation_maps(results),
            confusions=charts.confusions(results, card.classes) if mapped else {},
            open_confusions=len(results.networks) <= _OPEN_CONFUSIONS,
            most_confused={} if mapped else _most_confused(results, card.classes),
            published={row.published: row for row in compare_with_published(results, config, card)},
            comparability=comparability(config, card),
            on_imagenet=is_imagenet(card),
            stems_and_depths=_stems_and_depths(results),
            paper=paper,
            selections=selections(results),
            recipe=_recipe(config),
            occasions=_occasions(results.cells),
            precisions=sorted({cell.train.precision for cell in results.cells}),
            unrecorded=[cell.cell.name for cell in results.cells if cell.record is None],
        )
    )


def render_summary(
    config: ReportParams,
    card: DatasetCard,
    results: Results,
    verdicts: Sequence[Verdict],
    ensembles: Sequence[Ensemble],
) -> str:
    """Verdicts and tables as Markdown, short, for a pull request."""
    template = _environment(autoescape=False).get_template("report.md.j2")
    return template.render(_shared(config, card, results, verdicts, ensembles))


def run_address(record: RunRecord) -> str | None:
    """The run's page in a tracking server's interface, without credentials; None for an embedded store."""
    if record.run_id is None or record.tracking_uri is None:
        return None
    parts = urlsplit(record.tracking_uri)
    if parts.scheme not in ("http", "https"):
        return None
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, f"{parts.path.rstrip('/')}/", "", f"/runs/{record.run_id}"))


def duration(seconds: float) -> str:
    """Such as: 42 s, 3 min 20 s, 5 h 4 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def most_confused(network: NetworkResult, classes: Sequence[str], count: int) -> list[Confusion]:
    """The pairs of classes with the largest share of the actual class's images, at most `count`."""
    wrong = network.confusion.copy()
    np.fill_diagonal(wrong, 0)
    shares = charts.row_percent(network.confusion)
    # Stable, so that equal shares keep the order of the classes.
    order = np.argsort(-np.where(wrong > 0, shares, 0), axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(classes)) for place in order]
    return [
        Confusion(classes[actual], classes[predicted], int(wrong[actual, predicted]), float(shares[actual, predicted]))
        for actual, predicted in pairs
        if wrong[actual, predicted]
    ]


def activation_maps(results: Results) -> dict[str, str | None]:
    """Each network's class activation maps of its first seed that has them, as a data address, by cell.

    None for those beyond what a page can hold; the shallowest and the deepest of each kind come first.
    """
    having = {
        network.name: next((cell for cell in network.cells if cell.activation_maps is not None), None)
        for network in results.networks
    }
    ends = [group[place].name for group in results.by_kind.values() for place in (-1, 0)]
    maps: dict[str, str | None] = {}
    held = 0
    for name in dict.fromkeys([*ends, *(network.name for network in results.by_depth)]):
        cell = having[name]
        if cell is None or cell.activation_maps is None:
            continue
        held += cell.activation_maps.stat().st_size
        picture = base64.b64encode(cell.activation_maps.read_bytes()).decode()
        maps[cell.cell.name] = f"data:image/png;base64,{picture}" if held <= _MAPS_BYTES else None
    return maps


@cache
def _environment(autoescape: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("resgrid.reporting"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shown": provenance.shown,
        "duration": duration,
        "number": number,
        "percent": percent,
        "points": points,
        "folded": provenance.folded,
        "cell": _in_markdown_cell,
    }
    environment.globals |= {
        "of_card": provenance.of_card,
        "of_cell": provenance.of_cell,
        "of_cells": provenance.of_cells,
        "of_network": provenance.of_network,
        "of_file": provenance.of_file,
        "of_record": provenance.of_record,
        "device_seconds": provenance.device_seconds,
        "difference": provenance.difference,
        "confusion_sources": provenance.confusion_sources,
        "of_ensemble": provenance.of_ensemble,
        "against_paper": provenance.against_paper,
        "kind_title": kind_title,
        "swatch": swatch,
        "run_address": run_address,
    }
    return environment


def _shared(
    config: ReportParams,
    card: DatasetCard,
    results: Results,
    verdicts: Sequence[Verdict],
    ensembles: Sequence[Ensemble],
) -> dict[str, Any]:
    """What the page and the short report both say."""
    by_name = {network.name: network for network in results.networks}
    twins = {network.name: by_name.get(network.plain_counterpart or "") for network in results.networks}
    records = [cell.record for cell in results.cells]
    answers = Counter(verdict.answer for verdict in verdicts)
    order = ("reproduced", "contradicted", "inconclusive", "not tested")
    return {
        "config": config,
        "card": card,
        "results": results,
        "by_name": by_name,
        "plain_counterparts": {name: twin for name, twin in twins.items() if twin is not None},
        "verdicts": sorted(verdicts, key=lambda verdict: verdict.answer == "not tested"),
        "answers": [(answer, answers[answer]) for answer in order if answers[answer]],
        "caution": caution(len(config.grid.seed)),
        "ensembles": ensembles,
        "commits": sorted({record.train.commit or "none" for record in records if record and record.train}),
        "differences": differences_from_paper(config, card),
    }


def _stems_and_depths(results: Results) -> list[tuple[str, int]]:
    """Of the plain and residual networks as in the paper: `-imagenet` or nothing, as their names have it, and depth."""
    found = {
        ("-imagenet" if "-imagenet" in network.kind else "", network.depth)
        for network in results.networks
        if network.kind.replace("-imagenet", "") in PAPER_KINDS and network.depth is not None
    }
    return sorted(found)


def _most_confused(results: Results, classes: Sequence[str]) -> dict[str, list[Confusion]]:
    return {network.name: most_confused(network, classes, _CONFUSIONS_LISTED) for network in results.by_depth}


def _occasions(cells: Iterable[CellResult]) -> list[Occasion]:
    """What ran where, on which commit and with which versions: the like together, the most frequent first."""
    executions: dict[str, list[tuple[str, StageRecord, CellResult]]] = {}
    for cell in cells:
        for stage in ("train", "evaluate"):
            executed = getattr(cell.record, stage, None)
            if executed is not None:
                alike = f"{stage} {executed.model_dump_json(include=_ALIKE)}"
                executions.setdefault(alike, []).append((stage, executed, cell))
    occasions = [
        Occasion(stage=group[0][0], record=group[0][1], cells=tuple(cell for _, _, cell in group))
        for group in executions.values()
    ]
    return sorted(occasions, key=lambda occasion: -len(occasion.cells))


def _recipe(config: ReportParams) -> list[tuple[str, list[tuple[str, str]]]]:
    """Every parameter of the experiment, by section of `params.yaml`."""
    experiment = config.model_dump(mode="json", exclude={"sweep", "search"})
    sections = {name: value for name, value in experiment.items() if isinstance(value, dict)}
    return [(name, list(_flat(value))) for name, value in sections.items()]


def _flat(section: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for key, value in section.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _in_words(value)


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_in_words(entry) for entry in value) or "none"
    return "none" if value is None or value == {} else str(value)


def _in_markdown_cell(text: str) -> str:
    """Text that can't end its cell of a table, nor be taken for a tag."""
    return " ".join(text.replace("|", r"\|").replace("<", "&lt;").split())


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _for_script(content: dict[str, Any]) -> Markup:
    """JSON for a script element, which nothing inside it can end."""
    return Markup(json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))
