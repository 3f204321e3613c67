"""The stage `report`: the files of the grid's cells in, `reports/` out (page, summary, figures)."""

from __future__ import annotations

from resgrid.config.reading import load_params
from resgrid.config.report import ReportParams
from resgrid.reporting.page import write_report
from resgrid.reporting.results import read_card
from resgrid.terminal import console, run_command


def main() -> None:
    """Write reports/index.html, reports/summary.json and reports/figures/ from the runs of the grid."""
    write_report(load_params(ReportParams), read_card())
    console.print("report: reports/index.html", markup=False)


if __name__ == "__main__":
    run_command(main)
