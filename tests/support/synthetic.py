"""Grids with known effects, made in memory; hundreds of them measure how often a rule errs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from resgrid.artifacts.analyses import ANALYSIS_COLUMNS
from resgrid.artifacts.cell_files import CURVE_COLUMNS, TestMetrics, TrainMetrics
from resgrid.cells import Cell
from resgrid.reporting.ensembles import Ensemble
from resgrid.reporting.results import CellResult, NetworkResult, Results

TEST_IMAGES, TRAIN_IMAGES = 2000, 9000
STEPS = np.arange(100, 2001, 100)
LAYERS = 19
LAYER_NAMES = [f"layer{index}" for index in range(1, LAYERS + 1)]
_MILESTONE = 1500
_COLUMNS = pd.Index(CURVE_COLUMNS)


@dataclass(frozen=True)
class Truth:
    """The expected values of a network's runs.

    Attributes:
        train: training error, in percent.
        test: test error, in percent.
        speed: steps in which the validation error falls by a factor of e.
        response: mean standard deviation of the layers' responses.
        gradient: norm in the first layer over that in the last.
    """

    train: float
    test: float
    speed: float = 300.0
    response: float = 1.0
    gradient: float = 1.0


@dataclass
class Maker:
    """Random source of grids; equal seeds give equal grids.

    Attributes:
        noise: standard deviation of the errors over the seeds, in points; relative, a tenth of it for other quantities.
        common: standard deviation of an effect of the seed that all networks share.
        failing: probability that a run fails, with 20 to 40 points more error; it converges nevertheless.
        heavy_tails: draw the noise from Student's t with 3 degrees of freedom, scaled to the same standard deviation.
    """

    seed: int
    noise: float = 0.3
    common: float = 0.0
    failing: float = 0.0
    heavy_tails: bool = False
    random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def grid(self, truths: Mapping[str, Truth], seeds: int, analyses: bool = False) -> Results:
        shared = self.random.normal(0, self.common, (2, seeds))
        return Results(
            tuple(
                NetworkResult(
                    name,
                    tuple(self._cell(Cell(name, seed), truth, shared[:, seed], analyses) for seed in range(seeds)),
                )
                for name, truth in truths.items()
            )
        )

    def _cell(self, cell: Cell, truth: Truth, shared: np.ndarray, analyses: bool) -> CellResult:
        failure = self.random.uniform(20, 40) if self.failing and self.random.random() < self.failing else 0.0
        train = self._error(truth.train + shared[0] + failure, TRAIN_IMAGES)
        test = self._error(truth.test + shared[1] + failure)
        relative = np.exp(self.random.normal(0, self.noise / 10, 3))
        return CellResult(
            cell=cell,
            train=TrainMetrics.model_construct(
                network=cell.network,
                seed=cell.seed,
                train_error=train,
                val_error=test,
                selected_val_error=test,
                precision="32",
            ),
            test=TestMetrics.model_construct(test_error=test, selected_test_error=test, images=TEST_IMAGES),
            curve=self._curve(truth, relative[0]),
            confusion=np.diag(np.full(10, TEST_IMAGES // 10)),
            record=None,
            tables={
                "responses": _responses(truth.response * relative[1]),
                "gradients": self._gradients(truth.gradient * relative[2]),
            }
            if analyses
            else {},
        )

    def _error(self, mean: float, images: int = TEST_IMAGES) -> float:
        """Draw a whole number of images, in percent."""
        noise = self.random.standard_t(3) / math.sqrt(3) if self.heavy_tails else self.random.normal()
        drawn = float(np.clip(mean + self.noise * noise, 0, 100))
        return 100 * round(drawn * images / 100) / images

    def _curve(self, truth: Truth, relative: float) -> pd.DataFrame:
        fall = 80 * np.exp(-STEPS / (truth.speed * relative))
        noise = self.random.normal(0, self.noise, len(STEPS))
        rate = np.where(STEPS <= _MILESTONE, 0.1, 0.01)
        excess = (fall + noise) * np.where(STEPS <= _MILESTONE, 1, 0.2)  # a drop of the learning rate calms both
        train, val = (np.clip(final + excess, 0, 100) for final in (truth.train, truth.test))
        return pd.DataFrame(np.stack((STEPS, STEPS / 70, rate, train, train, val, val), axis=1), columns=_COLUMNS)

    def _gradients(self, first_over_last: float) -> pd.DataFrame:
        """Return norms that change evenly in logarithms from layer to layer, at three steps, increasingly."""
        steps, powers = (1, 1000, 2000), np.array([[0.1], [0.5], [1.0]])
        noise = np.exp(self.random.normal(0, self.noise / 10, (len(steps), LAYERS)))
        norms = 0.3 * noise * first_over_last ** (powers * np.linspace(1, 0, LAYERS))
        indices, names = np.tile(np.arange(1, LAYERS + 1), len(steps)), LAYER_NAMES * len(steps)
        columns = (np.repeat(steps, LAYERS), indices, names, norms.ravel(), np.full(norms.size, 0.01))
        return pd.DataFrame(dict(zip(ANALYSIS_COLUMNS["gradients"], columns, strict=True)))

    def ensemble(self, members: Sequence[float], error: float, name: str = "plain20") -> Ensemble:
        """Draw members and an ensemble with these test errors, in percent; validation errors equal test errors."""
        cells = tuple(
            replace(cell, train=cell.train.model_copy(update={"val_error": rate}))
            for cell, rate in zip(self.grid({name: Truth(0, 0)}, len(members)).cells, members, strict=True)
        )
        rates = np.array([[rate] for rate in members])
        wrong = self.random.random((len(members), TEST_IMAGES)) < rates / 100
        return Ensemble(name, cells, self.random.random(TEST_IMAGES) < error / 100, wrong)


def _responses(mean: float) -> pd.DataFrame:
    deviations = mean * np.linspace(1.5, 0.5, LAYERS)
    columns = (range(1, LAYERS + 1), LAYER_NAMES, deviations)
    return pd.DataFrame(dict(zip(ANALYSIS_COLUMNS["responses"], columns, strict=True)))
