"""Ensembles: cells whose class probabilities are averaged, and their error against the members' (paper, Table 5).

Averaged are the softmax probabilities, not the logits, so that each member has one vote to divide, however large its
logits are. The paper doesn't say which it averages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from resgrid.artifacts.cell_files import CellPaths
from resgrid.artifacts.files import RUNS
from resgrid.config.report import EnsembleConfig
from resgrid.reporting.results import CellResult, Results, ResultsError


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Cells that vote with the average of their softmax probabilities, by their final weights.

    Attributes:
        name: a network's name for all its seeds, or the name in `report.ensembles`.
        wrong: of the ensemble, by test image (bool).
        members_wrong: of each member, members × images (bool).
    """

    name: str
    members: tuple[CellResult, ...]
    wrong: NDArray[np.bool_]
    members_wrong: NDArray[np.bool_]

    @property
    def error(self) -> float:
        """Test error of the ensemble, in percent."""
        return 100 * float(self.wrong.mean())

    @cached_property
    def member_errors(self) -> list[float]:
        """Test error of each member, in percent."""
        return (100 * self.members_wrong.mean(axis=1)).tolist()

    @property
    def average_error(self) -> float:
        """The mean of the members' test errors, in percent."""
        return float(np.mean(self.member_errors))

    @property
    def best_error(self) -> float:
        """The lowest of the members' test errors, in percent: chosen on the test images, so no honest single result."""
        return min(self.member_errors)

    @property
    def against_average(self) -> NDArray[np.float64]:
        """By test image, in points: wrong (100) or right (0), the ensemble minus the mean of the members."""
        return 100 * (self.wrong - self.members_wrong.mean(axis=0))

    @property
    def against_best(self) -> NDArray[np.float64]:
        """By test image, in points: wrong (100) or right (0), the ensemble minus the best member."""
        best = self.members_wrong[int(np.argmin(self.member_errors))]
        return 100.0 * (self.wrong.astype(int) - best.astype(int))


def read_ensembles(
    results: Results, classes: Sequence[str], named: Sequence[EnsembleConfig] = (), runs: Path = RUNS
) -> list[Ensemble]:
    """Every network's seeds as one ensemble (where there are two or more), then the named sets.

    Raises:
        ResultsError: the cells' logits are missing, are of another shape than the test set, or don't give the test
            error that `evaluation.json` has; or the cells were tested on different images.
    """
    sets = {network.name: network.cells for network in results.networks if len(network.cells) > 1}
    cells = {result.cell: result for result in results.cells}
    sets |= {each.name: tuple(cells[cell] for cell in each.among(cells)) for each in named}
    labels = _read_common_labels(results, classes, runs) if sets else np.zeros(0, dtype=np.int64)
    return [_vote(name, members, labels, len(classes), runs) for name, members in sets.items()]


def _vote(name: str, members: Sequence[CellResult], labels: NDArray[np.int64], classes: int, runs: Path) -> Ensemble:
    votes = np.zeros((len(labels), classes))
    members_wrong: list[NDArray[np.bool_]] = []
    for member in members:
        logits = _read_logits(member, labels, classes, runs)
        members_wrong.append(logits.argmax(axis=1) != labels)
        logits[~np.isfinite(logits).all(axis=1)] = 0  # of a network that diverged: every class alike
        votes += special.softmax(logits, axis=1)
    return Ensemble(name, tuple(members), votes.argmax(axis=1) != labels, np.array(members_wrong))


def _read_common_labels(results: Results, classes: Sequence[str], runs: Path) -> NDArray[np.int64]:
    """Index of the actual class by test image, the same for every cell; `read_results` has checked the files."""
    common: NDArray[np.int64] | None = None
    for result in results.cells:
        path = CellPaths(result.cell, runs).confusion
        actual = pd.read_csv(path, dtype=str, keep_default_na=False)["actual"]
        labels = pd.Index(list(classes)).get_indexer(pd.Index(actual)).astype(np.int64)
        if common is not None and not np.array_equal(labels, common):
            raise ResultsError(f"{path} is of other test images than the cells before it; `dvc repro` makes it anew")
        common = labels
    assert common is not None  # a grid has at least one cell
    return common


def _read_logits(member: CellResult, labels: NDArray[np.int64], classes: int, runs: Path) -> NDArray[np.float64]:
    """Images × classes."""
    path = CellPaths(member.cell, runs).logits
    if not path.is_file():
        raise ResultsError(f"{path} is missing; `dvc repro` makes it")
    try:
        logits = np.load(path).astype(np.float64)
    except (ValueError, EOFError) as error:
        raise ResultsError(f"{path} can't be read: {error}; `dvc repro` makes it anew") from None
    shape = (len(labels), classes)
    if logits.shape != shape:
        raise ResultsError(f"{path} has the shape {logits.shape}, and the test set {shape}; `dvc repro` makes it anew")
    wrong, expected = int((logits.argmax(axis=1) != labels).sum()), member.test.test_error * len(labels) / 100
    if abs(wrong - expected) > 0.5:
        raise ResultsError(
            f"{path} puts {wrong} images in a wrong class, and evaluation.json {expected:.0f}; "
            "`dvc repro` makes both anew"
        )
    return logits
