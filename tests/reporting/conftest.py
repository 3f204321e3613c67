"""Made-up studies, written in the cells' real file formats."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from resgrid.artifacts.analyses import ANALYSIS_COLUMNS
from resgrid.artifacts.cell_files import (
    CURVE_COLUMNS,
    CellPaths,
    Complexity,
    TestMetrics,
    TrainMetrics,
)
from resgrid.artifacts.data_card import PREPARED, DatasetCard, PreparedPaths
from resgrid.artifacts.files import sha256_of_text
from resgrid.artifacts.run_record import RunRecord, StageRecord, record_path
from resgrid.cells import Cell
from resgrid.config.reading import read_params
from resgrid.config.whole import Config
from resgrid.names import parse_network
from resgrid.reporting.content import Content
from resgrid.reporting.page import render_markdown, render_page
from resgrid.reporting.reading import read_results
from resgrid.reporting.report import read_content, write_report
from resgrid.reporting.results import Results
from resgrid.reporting.summary import summarize

IMAGES = 400

# Training error in percent and number of wrong test images (of 400), one pair for each seed, by network.
Outcomes = Mapping[str, list[tuple[float, int]]]

DEGRADED: Outcomes = {
    "plain8": [(0.25, 4), (0.75, 6)],
    "plain20": [(6.0, 24), (8.0, 32)],
    "resnet8-A": [(0.0, 2), (0.0, 4)],
    "resnet20-A": [(0.5, 6), (0.25, 8)],
}


# A picture of one pixel.
ONE_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)


@dataclass(frozen=True)
class Study:
    """A configuration, the card of its data, and its cells' files under `root`."""

    root: Path
    config: Config
    card: DatasetCard

    def paths(self, network: str, seed: int) -> CellPaths:
        return CellPaths(Cell(network, seed), self.root / "runs")

    def content(self, *missing: Cell) -> Content:
        return read_content(self.config, self.card, self.root / "runs", missing)

    def results(self) -> Results:
        return read_results(self.config.grid.cells, self.card.classes, self.root / "runs")

    def report(self, *missing: Cell, to: str = "reports") -> Path:
        write_report(self.config, self.card, self.root / "runs", self.root / to, missing)
        return self.root / to

    def page(self) -> str:
        return render_page(self.content())

    def markdown(self) -> str:
        return render_markdown(self.content())

    def summary(self) -> dict[str, Any]:
        return summarize(self.config, self.card, self.results())

    def write_cell(self, cell: Cell, train_error: float, wrong: int) -> None:
        """The files that `train` and `evaluate` leave."""
        paths = self.paths(cell.network, cell.seed)
        test_error = 100 * wrong / IMAGES
        TrainMetrics(
            network=cell.network,
            seed=cell.seed,
            parameters=1000 * (parse_network(cell.network).depth or 8),
            steps=560,
            epochs=15.0,
            train_loss=train_error / 40,
            train_error=train_error,
            val_loss=test_error / 40,
            val_error=test_error + 0.5,
            selected_step=532,
            selected_val_error=test_error + 0.25,
            precision="32",
            fingerprint=fingerprint_of(cell),
        ).write(paths.metrics)
        TestMetrics(
            test_loss=test_error / 32,
            test_error=test_error,
            selected_test_error=test_error + 0.75,
            per_class_error=dict.fromkeys(self.card.classes, test_error),
            images=IMAGES,
        ).write(paths.evaluation)
        make_curve(cell, train_error, test_error + 0.5).to_csv(paths.curve, index=False)
        confusion = make_confusion(cell, self.card.classes, wrong)
        confusion.to_csv(paths.confusion, index=False)
        np.save(paths.logits, make_logits(confusion, self.card.classes))

    def diverge(self, network: str, seed: int, number: str = "null") -> None:
        """Overwrite a cell's numbers by those of a training that diverged."""
        paths = self.paths(network, seed)
        for path, fields in ((paths.metrics, ("train_loss", "val_loss")), (paths.evaluation, ("test_loss",))):
            text = path.read_text()
            for field in fields:
                text = re.sub(rf'"{field}": [^,\n]+', f'"{field}": {number}', text)
            path.write_text(text)
        curve = pd.read_csv(paths.curve)
        curve.loc[5:, ["train/loss", "val/loss"]] = np.nan
        curve.to_csv(paths.curve, index=False)
        responses = paths.analysis("responses")
        if responses.is_file():
            pd.read_csv(responses).assign(std=np.nan).to_csv(responses, index=False)

    def write_analyses(self, cell: Cell) -> None:
        """What a newer version leaves beside it: complexity, responses, gradients, blocks and activation maps."""
        paths, depth = self.paths(cell.network, cell.seed), parse_network(cell.network).depth or 8
        residual = cell.network.startswith("resnet")
        random = np.random.default_rng([depth, cell.seed, residual])
        layers, count = np.arange(1, depth - 1), depth - 2
        names = [f"stage{1 + 3 * (layer - 1) // count}.conv{layer}" for layer in layers]
        Complexity(
            depth=depth,
            parameters=1000 * depth,
            multiply_adds=2_000_000 * depth + 1000 * residual,
            activation_bytes=50_000 * depth,
            receptive_field=2 * depth + 1,
        ).write(paths.complexity)
        size = (0.4 if residual else 1.1) / np.sqrt(1 + layers / 20 * residual)
        rows = (layers, names, size * random.uniform(0.7, 1.3, count))
        write_analysis(paths, "responses", rows)
        noise = 10.0 ** random.normal((-2, -3), 0.3, (3, count, 2))
        moments = [
            (np.full(count, step), layers, names, *each.T) for step, each in zip((1, 280, 560), noise, strict=True)
        ]
        joined = [np.concatenate(columns) for columns in zip(*moments, strict=True)]
        write_analysis(paths, "gradients", joined)
        blocks = np.arange(1, count // 2 + 1)
        ratio = 0.3 * random.uniform(0.5, 1.5, len(blocks)) if residual else np.full(len(blocks), np.nan)
        lesions = random.uniform(2, 8, len(blocks)) if residual else random.uniform(40, 90, len(blocks))
        rows = (blocks, [f"block{block}" for block in blocks], ratio, lesions, np.full(len(blocks), 1.5))
        write_analysis(paths, "blocks", rows)
        paths.activation_maps.write_bytes(ONE_PIXEL)

    def write_record(
        self, cell: Cell, run_id: str | None = "0a1b2c", tracking_uri: str | None = "sqlite:///m.db", commit: str = "c1"
    ) -> None:
        train = StageRecord(
            started="2026-01-01T12:00:00+00:00",
            seconds=30.0,
            images_per_second=1200.0,
            resumed_from=[],
            commit=commit,
            host="laptop",
            hardware="Some Processor (2 cores)",
            devices=1,
            threads=1,
            precision="32",
            versions={"python": "3.11.7", "torch": "2.14.1"},
        )
        RunRecord(
            cell=cell.name,
            fingerprint=fingerprint_of(cell),
            run_id=run_id,
            tracking_uri=tracking_uri,
            train=train,
            evaluate=train.model_copy(update={"seconds": 2.0, "images_per_second": None}),
        ).write(record_path(cell, fingerprint_of(cell)))


MakeStudy = Callable[..., Study]


def write_study(
    root: Path,
    outcomes: Outcomes = DEGRADED,
    data: str = "digits",
    card: dict[str, Any] | None = None,
    records: bool = True,
    analyses: bool = False,
    **sections: Any,
) -> Study:
    """Write a study; `RESGRID_STATE` is to be `root / "state"`."""
    study = Study(root, make_config(outcomes, data, sections), make_card(data).model_copy(update=card or {}))
    study.card.write(PreparedPaths(root / PREPARED).card)
    for network, pairs in outcomes.items():
        for seed, (train_error, wrong) in enumerate(pairs):
            study.write_cell(Cell(network, seed), train_error, wrong)
            if analyses:
                study.write_analyses(Cell(network, seed))
            if records:
                study.write_record(Cell(network, seed))
    return study


@pytest.fixture(scope="module")
def analyzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A study with all analyses, for the tests of a module together: not to be changed."""
    root = tmp_path_factory.mktemp("analyzed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESGRID_STATE", str(root / "state"))
        yield write_study(root, analyses=True)


@pytest.fixture
def make_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeStudy:
    """Writes a study into the test's folder: `make_study(outcomes, data=…, card={…}, analyses=…, optimizer={…})`."""
    monkeypatch.setenv("RESGRID_STATE", str(tmp_path / "state"))

    return partial(write_study, tmp_path)


def make_config(outcomes: Outcomes, data: str, sections: dict[str, Any]) -> Config:
    preset = Path(__file__).parents[2] / "presets/digits.yaml"
    values = read_params(preset) | {
        "preset": "digits",
        "data": {"name": data},
        "split": {"val": 240, "test": 360 if data == "digits" else None},
        "grid": {"network": list(outcomes), "seed": list(range(len(next(iter(outcomes.values())))))},
        "augment": {"normalize": "per_pixel_mean", "pad": 1, "flip": False},
        "optimizer": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4},
        "schedule": {"milestones": [280, 420], "gamma": 0.1},
        "train": {
            "max_steps": 560,
            "batch_size": 32,
            "val_every": 28,
            "precision": "32",
            "devices": "auto",
            "threads": 1,
        },
        "evaluate": {"batch_size": 500, "threads": 1},
        "report": {"ensembles": []},
        "sweep": {"address": "local", "resources": {"cpus": 2, "gpus": 0}, "max_failures": 0},
    }
    return Config.model_validate(values | sections)


def make_card(data: str) -> DatasetCard:
    return DatasetCard(
        name=data,
        label={"digits": "Digits", "cifar10": "CIFAR-10"}.get(data, data),
        note="",
        shape=(1, 8, 8),
        classes=[str(label) for label in range(10)],
        counts={"train": 1197, "val": 240, "test": IMAGES},
        channel_mean=[0.3],
        channel_std=[0.4],
        sha256={"train/images.npy": "0" * 64},
    )


def fingerprint_of(cell: Cell) -> str:
    return sha256_of_text(cell.name)


def write_analysis(paths: CellPaths, name: str, columns: Sequence[Any]) -> None:
    pd.DataFrame(dict(zip(ANALYSIS_COLUMNS[name], columns, strict=True))).to_csv(paths.analysis(name), index=False)


def make_curve(cell: Cell, train_error: float, val_error: float) -> pd.DataFrame:
    """Falls from 90 % to the given errors, with noise that calms down."""
    steps = np.arange(28, 561, 28)
    fall = np.exp(-steps / 110)
    noise = np.random.default_rng([parse_network(cell.network).depth or 8, cell.seed]).normal(0, 1, (2, len(steps)))
    ends = np.array([[train_error], [val_error]])
    train, val = np.clip(ends + (90 - ends) * fall + noise * (0.5 + 16 * fall), 0, 100)
    train[-1], val[-1] = train_error, val_error
    columns = (steps, steps * 32 / 1197, np.full(len(steps), 0.1), train / 40, train, val / 40, val)
    return pd.DataFrame(dict(zip(CURVE_COLUMNS, columns, strict=True)))


def make_confusion(cell: Cell, classes: list[str], wrong: int) -> pd.DataFrame:
    """Some images land one to three classes further on."""
    labels = np.arange(IMAGES) % len(classes)
    mistaken = np.random.default_rng(cell.seed).permutation(IMAGES)[:wrong]
    guesses = labels.copy()
    guesses[mistaken] = (guesses[mistaken] + 1 + mistaken % 3) % len(classes)
    names = np.array(classes)
    return pd.DataFrame({"actual": names[labels], "predicted": names[guesses]})


def make_logits(confusion: pd.DataFrame, classes: list[str]) -> NDArray[np.float32]:
    """Sure of the predicted class."""
    return 4 * np.eye(len(classes), dtype=np.float32)[pd.Index(classes).get_indexer(pd.Index(confusion["predicted"]))]
