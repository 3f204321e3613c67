"""The report as files: one self-contained page, the summary for other programs, and the figures."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from resgrid.artifacts import REPORTS, RUNS, DatasetCard, RunRecord, StageRecord, write_whole
from resgrid.config import Config
from resgrid.reporting.claims import Verdict, judge
from resgrid.reporting.ensembles import read_ensembles
from resgrid.reporting.figures import (
    MAX_CONFUSION_CLASSES,
    Picture,
    draw_confusions,
    draw_curves,
    draw_depth,
    row_percent,
)
from resgrid.reporting.published import PUBLISHED, differences_from_paper
from resgrid.reporting.results import Comparison, NetworkResult, Results, read_results, summarise
from resgrid.reporting.words import caution, percent, points

_CONFUSIONS_LISTED = 5
_ALIKE = {"commit", "hardware", "devices", "threads", "precision", "versions"}
_KINDS = {"plain": "plain", "resnet": "residual"}


@dataclass(frozen=True)
class Occasion:
    """Executions of one pipeline stage that had everything in common but their time.

    Attributes:
        seconds: wall time of all of them, added up.
    """

    stage: str
    cells: int
    seconds: float
    record: StageRecord


@dataclass(frozen=True)
class Confusion:
    """Two classes that a network mixes up; `share` in percent of the actual class's test images."""

    actual: str
    predicted: str
    images: int
    share: float


def write_report(config: Config, card: DatasetCard, runs: Path = RUNS, into: Path = REPORTS) -> None:
    """Write `index.html`, `summary.json` and `figures/` (PNG and SVG) from the files of the grid's cells.

    Raises:
        ResultsError: cells lack files, or hold files that contradict each other; then nothing is written.
        OSError: a file can't be written.
    """
    results = read_results(config.grid.cells, card.classes, runs)
    verdicts = judge(results, read_ensembles(results, card.classes, config.report.ensembles, runs))
    pictures = _draw(config, card, results)
    files = {Path("index.html"): render_page(config, card, results, verdicts, pictures).encode()}
    summary = summarise(config, card, results)
    files[Path("summary.json")] = (json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    for picture in pictures:
        files[Path("figures", f"{picture.name}.svg")] = picture.svg
        files[Path("figures", f"{picture.name}.png")] = picture.png
    for leftover in {path.relative_to(into) for path in (into / "figures").glob("*")} - files.keys():
        (into / leftover).unlink()
    for name, content in files.items():
        write_whole(into / name, content)


def render_page(
    config: Config, card: DatasetCard, results: Results, verdicts: Sequence[Verdict], pictures: Sequence[Picture]
) -> str:
    """The page, with its style and its figures inside: it loads nothing."""
    environment = Environment(
        loader=PackageLoader("resgrid.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "points": points, "duration": duration, "base64": _base64}
    records = [cell.record for cell in results.cells]
    return environment.get_template("index.html.j2").render(
        config=config,
        card=card,
        results=results,
        kinds=" and ".join(sorted({_KINDS[result.network.family] for result in results.networks})),
        verdicts=verdicts,
        caution=caution(len(config.grid.seed)),
        against_plain=_against_plain(results),
        pictures={picture.name: picture for picture in pictures},
        confusions={} if _draws_confusions(card) else _confusions(results, card.classes),
        published=PUBLISHED if card.name == "cifar10" else {},
        differences=differences_from_paper(config, card),
        recipe=_recipe(config),
        occasions=_occasions(records),
        commits=sorted({record.train.commit or "none" for record in records if record and record.train}),
        precisions=sorted({cell.train.precision for cell in results.cells}),
        unrecorded=[cell.cell.name for cell in results.cells if cell.record is None],
        run_address=run_address,
    )


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
    shares = row_percent(network.confusion)
    # Stable, so that equal shares keep the order of the classes.
    order = np.argsort(-np.where(wrong > 0, shares, 0), axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(classes)) for place in order]
    return [
        Confusion(classes[actual], classes[predicted], int(wrong[actual, predicted]), float(shares[actual, predicted]))
        for actual, predicted in pairs
        if wrong[actual, predicted]
    ]


def _draw(config: Config, card: DatasetCard, results: Results) -> list[Picture]:
    like_for_like = not differences_from_paper(config, card)
    errors = {name: number.error for name, number in PUBLISHED.items() if number.error is not None}
    pictures = [
        draw_depth(results, errors if like_for_like else {}),
        draw_curves(results, config.schedule.milestones),
    ]
    if _draws_confusions(card):
        pictures.append(draw_confusions(results, card.classes))
    return pictures


def _draws_confusions(card: DatasetCard) -> bool:
    return len(card.classes) <= MAX_CONFUSION_CLASSES


def _confusions(results: Results, classes: Sequence[str]) -> dict[str, list[Confusion]]:
    return {network.name: most_confused(network, classes, _CONFUSIONS_LISTED) for network in results.by_depth}


def _against_plain(results: Results) -> dict[str, Comparison]:
    """The test error of each residual network against its plain twin's, where there is one."""
    plain = {result.network.depth: result for result in results.by_shortcut.get("none", [])}
    return {
        result.name: Comparison("test_error", plain[result.network.depth], result)
        for result in results.networks
        if result.network.shortcut != "none" and result.network.depth in plain
    }


def _occasions(records: Iterable[RunRecord | None]) -> list[Occasion]:
    """What ran where, on which commit and with which versions: the like together, the most frequent first."""
    executions: dict[str, list[tuple[str, StageRecord]]] = {}
    for record in records:
        if record is None:
            continue
        for stage, executed in (("training", record.train), ("evaluation", record.evaluate)):
            if executed is not None:
                alike = f"{stage} {executed.model_dump_json(include=_ALIKE)}"
                executions.setdefault(alike, []).append((stage, executed))
    occasions = [
        Occasion(
            stage=group[0][0], cells=len(group), seconds=sum(each.seconds for _, each in group), record=group[0][1]
        )
        for group in executions.values()
    ]
    return sorted(occasions, key=lambda occasion: -occasion.cells)


def _recipe(config: Config) -> list[tuple[str, list[tuple[str, str]]]]:
    """Every parameter of `params.yaml`, by section."""
    sections = {name: value for name, value in config.model_dump(mode="json").items() if isinstance(value, dict)}
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


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
