"""The pipeline stage `report`: write `reports/` from the files of the grid's cells."""

from __future__ import annotations

from resgrid.config.reading import load_params
from resgrid.config.report import ReportParams
from resgrid.reporting.reading import read_card
from resgrid.reporting.report import write_report
from resgrid.terminal import console, run_command


def main() -> None:
    """Write the report of the grid in `params.yaml`."""
    write_report(load_params(ReportParams), read_card())
    console.print("report: reports/index.html", markup=False)


if __name__ == "__main__":
    run_command(main)
