"""Ensembles: cells whose class probabilities are averaged, and the ensemble's error (paper, Table 5).

The average is over softmax probabilities, not logits, so that each member has equal weight whatever the scale of its
logits. The paper doesn't say which it averages.
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
    """The average softmax probabilities of several cells, by their final weights.

    Attributes:
        name: a network's name for all its seeds, or the name in `report.ensembles`.
        wrong: the ensemble's errors by test image, bool (N,).
        members_wrong: the members' errors, bool (members, N).
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
    def against_average(self) -> NDArray[np.float64]:
        """Ensemble minus mean of the members by test image, in points: 100 for wrong, 0 for right."""
        return 100 * (self.wrong - self.members_wrong.mean(axis=0))

    @property
    def best_by_validation(self) -> int:
        """Index of the member with the lowest validation error (of equal ones, the first): a valid selection."""
        return int(np.argmin([member.train.val_error for member in self.members]))

    @property
    def against_best(self) -> NDArray[np.float64]:
        """Ensemble minus best member by validation, by test image, in points: 100 for wrong, 0 for right."""
        return 100.0 * (self.wrong.astype(int) - self.members_wrong[self.best_by_validation].astype(int))


def read_ensembles(
    results: Results, classes: Sequence[str], named: Sequence[EnsembleConfig] = (), runs: Path = RUNS
) -> list[Ensemble]:
    """Build an ensemble of each network's seeds, then the named ensembles; those of two or more cells.

    Raises:
        ResultsError: logits are missing, don't have the test set's shape, or contradict the test error in
            `evaluation.json`; or the cells were tested on different images.
    """
    sets = {network.name: network.cells for network in results.networks}
    cells = {result.cell: result for result in results.cells}
    sets |= {each.name: tuple(cells[cell] for cell in each.among(cells)) for each in named}
    sets = {name: members for name, members in sets.items() if len(members) > 1}
    labels = read_common_labels(results, classes, runs) if sets else np.zeros(0, dtype=np.int64)
    return [_average(name, members, labels, len(classes), runs) for name, members in sets.items()]


def _average(name: str, members: Sequence[CellResult], labels: NDArray[np.int64], classes: int, runs: Path) -> Ensemble:
    probabilities = np.zeros((len(labels), classes))
    members_wrong: list[NDArray[np.bool_]] = []
    for member in members:
        logits = read_logits(member, labels, classes, runs)
        members_wrong.append(logits.argmax(axis=1) != labels)
        logits[~np.isfinite(logits).all(axis=1)] = 0  # equal probabilities where logits are not finite
        probabilities += special.softmax(logits, axis=1)
    return Ensemble(name, tuple(members), probabilities.argmax(axis=1) != labels, np.array(members_wrong))


def read_common_labels(results: Results, classes: Sequence[str], runs: Path) -> NDArray[np.int64]:
    """Return the index of each test image's class, int64 (N,), which is the same for every cell."""
    common: NDArray[np.int64] | None = None
    for result in results.cells:
        path = CellPaths(result.cell, runs).confusion
        actual = pd.read_csv(path, dtype=str, keep_default_na=False)["actual"]
        labels = pd.Index(list(classes)).get_indexer(pd.Index(actual)).astype(np.int64)
        if common is not None and not np.array_equal(labels, common):
            raise ResultsError(f"{path}: has other test images than earlier cells; delete it and run `dvc repro`")
        common = labels
    assert common is not None  # a grid has at least one cell
    return common


def read_logits(member: CellResult, labels: NDArray[np.int64], classes: int, runs: Path) -> NDArray[np.float64]:
    """Return logits, float64 (N, classes)."""
    path = CellPaths(member.cell, runs).logits
    if not path.is_file():
        raise ResultsError(f"{path}: missing; run `dvc repro`")
    try:
        logits = np.load(path).astype(np.float64)
    except (ValueError, EOFError) as error:
        raise ResultsError(f"{path}: damaged: {error}; delete it and run `dvc repro`") from None
    shape = (len(labels), classes)
    if logits.shape != shape:
        raise ResultsError(f"{path}: has the shape {logits.shape}, the test set {shape}; delete it and run `dvc repro`")
    wrong, expected = int((logits.argmax(axis=1) != labels).sum()), member.test.test_error * len(labels) / 100
    if abs(wrong - expected) > 0.5:
        raise ResultsError(
            f"{path}: has {wrong} misclassified images, evaluation.json {expected:.0f}; delete both and run `dvc repro`"
        )
    return logits
