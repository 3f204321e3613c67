"""A preliminary report, beside that of the whole grid, on the cells that are up to date."""

from __future__ import annotations

from collections.abc import Collection

from resgrid.artifacts.files import state_folder
from resgrid.config.report import ReportParams
from resgrid.reporting.reading import read_card
from resgrid.reporting.report import write_report
from resgrid.terminal import console


def write_preliminary_report(config: ReportParams, stale: Collection[str]) -> None:
    """Report without the stale cells, by name, and print where. Nothing is written if all cells are stale.

    Raises:
        OSError: a file can't be written.
    """
    missing = [cell for cell in config.grid.cells if cell.name in stale]
    if len(missing) == len(config.grid.cells):
        return
    into = state_folder() / "preliminary-report"
    try:
        write_report(config, read_card(), into=into, missing=missing)
    except ValueError as error:  # what the run itself achieved must not get lost
        console.print(f"a report without these cells can't be written: {error}", markup=False)
    else:
        console.print(f"a preliminary report without these cells: {into / 'index.html'}", markup=False)
