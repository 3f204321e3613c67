"""The report's files: the page, a short Markdown report, JSON for programs, tables and figures."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from resgrid.artifacts.data_card import DatasetCard
from resgrid.artifacts.files import REPORTS, RUNS, write_atomically
from resgrid.cells import Cell
from resgrid.config.report import ReportParams
from resgrid.reporting.claims import judge
from resgrid.reporting.content import Content
from resgrid.reporting.ensembles import read_ensembles
from resgrid.reporting.page import figures, has_readable_confusions, render_markdown, render_page
from resgrid.reporting.paper_comparison import comparability
from resgrid.reporting.reading import read_results
from resgrid.reporting.registration import check_registration
from resgrid.reporting.seed_noise import read_seed_noise
from resgrid.reporting.static_figures import draw_confusions, draw_figures
from resgrid.reporting.style import network_styles
from resgrid.reporting.summary import summarize, summarize_verdicts
from resgrid.reporting.tables import report_tables


def write_report(
    config: ReportParams, card: DatasetCard, runs: Path = RUNS, into: Path = REPORTS, missing: Collection[Cell] = ()
) -> None:
    """Write the files of `reports/` from the files of the grid's cells; docs/report.md lists them.

    Args:
        missing: cells of the grid that are not trained and evaluated, for a preliminary report.

    Raises:
        ResultsError: files are missing or contradict each other; then nothing is written.
        OSError: a file can't be written.
    """
    content = read_content(config, card, runs, missing)
    files = {
        Path("index.html"): render_page(content).encode(),
        Path("report.md"): render_markdown(content).encode(),
        Path("summary.json"): _json(summarize(config, card, content.results)),
        Path("verdicts.json"): _json(summarize_verdicts(config, card, content.verdicts)),
    }
    for table in report_tables(content):
        files[Path("tables", f"{table.name}.csv")] = table.csv()
        files[Path("tables", f"{table.name}.tex")] = table.latex()
    drawn = draw_figures(figures(content), network_styles(content.results))
    if content.results.networks and has_readable_confusions(card):
        drawn.append(draw_confusions(content.results, card.classes))
    for figure in drawn:
        files[Path("figures", f"{figure.name}.svg")] = figure.svg
        files[Path("figures", f"{figure.name}.png")] = figure.png
    (into / "figures").mkdir(parents=True, exist_ok=True)  # DVC needs the folder even if there is no figure
    for leftover in {path.relative_to(into) for path in (into / "figures").glob("*")} - files.keys():
        (into / leftover).unlink()
    for name, data in files.items():
        write_atomically(into / name, data)


def read_content(config: ReportParams, card: DatasetCard, runs: Path = RUNS, missing: Collection[Cell] = ()) -> Content:
    """Read the cells' files and judge the paper's claims.

    Raises:
        ResultsError: files are missing or contradict each other.
    """
    results = read_results(config.grid.cells, card.classes, runs, missing)
    ensembles = read_ensembles(results, card.classes, config.report.ensembles, runs)
    noises, images_of_one_kind = read_seed_noise(results, card.classes, runs)
    registration = check_registration(config, results, runs)
    direct = comparability(config, card, results.all_cells).direct
    verdicts = [
        replace(verdict, registered=registration.valid, registration=registration.text)
        for verdict in judge(results, ensembles, direct)
    ]
    return Content(config, card, results, tuple(ensembles), tuple(verdicts), tuple(noises), tuple(images_of_one_kind))


def _json(summary: dict[str, Any]) -> bytes:
    return (json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
