"""The section `report`, and the sections that the pipeline stage `report` reads."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import Field, model_validator

from resgrid.cells import Cell
from resgrid.config.evaluate import EvaluateParams
from resgrid.config.grid import GridConfig
from resgrid.config.reading import Section
from resgrid.config.train import TrainParams


class EnsembleConfig(Section):
    """A named set of cells whose probabilities the report averages.

    Attributes:
        name: name in the report; a network's name is taken by the ensemble of its seeds.
        cells: patterns of cell names, where `*` matches any text and `?` any character: `resnet*-A-*`.
    """

    name: Annotated[str, Field(min_length=1)]
    cells: Annotated[list[str], Field(min_length=1)]

    def among(self, cells: Iterable[Cell]) -> list[Cell]:
        """Return the cells that a pattern matches, in their own order."""
        return [cell for cell in cells if any(fnmatchcase(cell.name, pattern) for pattern in self.cells)]


class ReportConfig(Section):
    """Options of the report."""

    ensembles: list[EnsembleConfig]


class ReportParams(TrainParams, EvaluateParams):
    """The sections that the pipeline stage `report` reads."""

    preset: str
    grid: GridConfig
    report: ReportConfig

    @model_validator(mode="after")
    def _ensembles_fit_the_grid(self) -> Self:
        mistakes: list[str] = []
        cells, taken = self.grid.cells, set(self.grid.network)
        for index, ensemble in enumerate(self.report.ensembles):
            parameter = f"report.ensembles[{index}]"
            if ensemble.name in taken:
                mistakes.append(
                    f"{parameter}.name: {ensemble.name!r}: is taken by a network or an ensemble above; use another name"
                )
            taken.add(ensemble.name)
            unmatched = [
                f"{parameter}.cells[{number}]: {pattern!r}: matches no cell of the grid; "
                f"use patterns of <network>-<seed>, such as {cells[0].name}"
                for number, pattern in enumerate(ensemble.cells)
                if not any(fnmatchcase(cell.name, pattern) for cell in cells)
            ]
            mistakes += unmatched
            if not unmatched and len(ensemble.among(cells)) < 2:
                mistakes.append(f"{parameter}.cells: {ensemble.cells}: match one cell; use patterns of two or more")
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self
