"""Ensembles: cells whose class probabilities are averaged, and their error against the members' (paper, Table 5)."""

from __future__ import annotations

from dataclasses import dataclass

from resgrid.reporting.results import CellResult


@dataclass(frozen=True)
class Ensemble:
    """Cells that vote with the average of their softmax probabilities.

    Attributes:
        name: a network's name for all its seeds, or the name in `report.ensembles`.
        error: test error of the ensemble, in percent.
    """

    name: str
    members: tuple[CellResult, ...]
    error: float
