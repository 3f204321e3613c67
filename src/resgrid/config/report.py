"""The section `report`, and all that the pipeline stage `report` reads."""

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
        name: what the report calls it; a network's name already stands for all its seeds.
        cells: patterns of cell names, in which `*` is any text and `?` any sign: `resnet*-A-*`.
    """

    name: Annotated[str, Field(min_length=1)]
    cells: Annotated[list[str], Field(min_length=1)]

    def among(self, cells: Iterable[Cell]) -> list[Cell]:
        """Those of the cells that a pattern matches, in their own order."""
        return [cell for cell in cells if any(fnmatchcase(cell.name, pattern) for pattern in self.cells)]


class ReportConfig(Section):
    """What the report shows beyond the grid itself."""

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
            place = f"report.ensembles[{index}]"
            if ensemble.name in taken:
                mistakes.append(f"{place}.name: {ensemble.name!r} is taken, by a network or by an ensemble above")
            taken.add(ensemble.name)
            idle = [
                f"{place}.cells[{number}]: {pattern!r} matches no cell of the grid; "
                f"cells are <network>-<seed>, such as {cells[0].name}"
                for number, pattern in enumerate(ensemble.cells)
                if not any(fnmatchcase(cell.name, pattern) for cell in cells)
            ]
            mistakes += idle
            if not idle and len(ensemble.among(cells)) < 2:
                mistakes.append(f"{place}.cells: {ensemble.cells} match one cell; an ensemble takes two or more")
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self
