"""Made-up studies in the cells' real file formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from resgrid.artifacts import (
    CURVE_COLUMNS,
    CellPaths,
    DatasetCard,
    RunRecord,
    StageRecord,
    TestMetrics,
    TrainMetrics,
    record_path,
    sha256_of_text,
)
from resgrid.cells import Cell, parse_network
from resgrid.config import Config

IMAGES = 400


@dataclass(frozen=True)
class Study:
    """A configuration, its data's card, and its cells' files under `root`."""

    root: Path
    config: Config
    card: DatasetCard

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def reports(self) -> Path:
        return self.root / "reports"


# Training error in percent and number of wrong test images (of 400), by network, one pair for each seed.
Outcomes = Mapping[str, list[tuple[float, int]]]
MakeStudy = Callable[..., Study]

DEGRADED: Outcomes = {
    "plain8": [(0.25, 4), (0.75, 6)],
    "plain20": [(6.0, 24), (8.0, 32)],
    "resnet8-A": [(0.0, 2), (0.0, 4)],
    "resnet20-A": [(0.5, 6), (0.25, 8)],
}


@pytest.fixture
def make_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeStudy:
    """Writes a study into the test's folder: `make_study(outcomes, classes=…, records=…, data=…, **sections)`."""
    monkeypatch.setenv("RESGRID_STATE", str(tmp_path / "state"))

    def make(
        outcomes: Outcomes = DEGRADED, classes: int = 10, records: bool = True, data: str = "digits", **sections: Any
    ) -> Study:
        study = Study(tmp_path, make_config(outcomes, data, **sections), make_card(data, classes))
        for network, pairs in outcomes.items():
            for cell, (train_error, wrong) in zip(cells_of(study.config, network), pairs, strict=True):
                write_cell(study, cell, train_error, wrong)
                if records:
                    write_record(cell, run_id=f"run-{cell.name}", tracking_uri="sqlite:///mlruns/mlflow.db")
        return study

    return make


def cells_of(config: Config, network: str) -> list[Cell]:
    return [cell for cell in config.grid.cells if cell.network == network]


def make_config(outcomes: Outcomes, data: str, **sections: Any) -> Config:
    values: dict[str, Any] = {
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
            "checkpoint_every": 100,
        },
        "evaluate": {"batch_size": 500, "threads": 1},
    }
    return Config.model_validate(values | sections)


def make_card(data: str, classes: int) -> DatasetCard:
    return DatasetCard(
        name=data,
        label={"digits": "Digits", "cifar10": "CIFAR-10"}.get(data, data),
        note="",
        shape=(1, 8, 8),
        classes=[str(label) for label in range(classes)],
        counts={"train": 1197, "val": 240, "test": IMAGES},
        channel_mean=[0.3],
        channel_std=[0.4],
        sha256={"train/images.npy": "0" * 64},
    )


def fingerprint_of(cell: Cell) -> str:
    return sha256_of_text(cell.name)


def write_cell(study: Study, cell: Cell, train_error: float, wrong: int) -> None:
    """The files that `train` and `evaluate` leave."""
    paths = CellPaths(cell, study.runs)
    test_error = 100 * wrong / IMAGES
    TrainMetrics(
        network=cell.network,
        seed=cell.seed,
        parameters=1000 * parse_network(cell.network).depth,
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
        test_loss=test_error / 30,
        test_error=test_error,
        selected_test_error=test_error + 0.75,
        per_class_error=dict.fromkeys(study.card.classes, test_error),
        images=IMAGES,
    ).write(paths.evaluation)
    _curve(cell, train_error, test_error + 0.5).to_csv(paths.curve, index=False)
    _confusion(cell, study.card.classes, wrong).to_csv(paths.confusion, index=False)


def write_record(cell: Cell, run_id: str | None, tracking_uri: str | None, commit: str = "a" * 40) -> RunRecord:
    stage = StageRecord(
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
    record = RunRecord(
        cell=cell.name,
        fingerprint=fingerprint_of(cell),
        run_id=run_id,
        tracking_uri=tracking_uri,
        train=stage,
        evaluate=stage.model_copy(update={"seconds": 2.0, "images_per_second": None}),
    )
    record.write(record_path(cell, record.fingerprint))
    return record


def _curve(cell: Cell, train_error: float, val_error: float) -> pd.DataFrame:
    steps = np.arange(28, 561, 28)
    noise = np.random.default_rng([parse_network(cell.network).depth, cell.seed]).normal(0, 0.8, (2, len(steps)))
    fall = np.exp(-steps / 110)
    train, val = (
        np.clip(end + (90 - end) * fall + noise[row] * (1 + 20 * fall), 0, 100)
        for row, end in enumerate((train_error, val_error))
    )
    train[-1], val[-1] = train_error, val_error
    columns = (steps, steps * 32 / 1197, np.full(len(steps), 0.1), train / 40, train, val / 40, val)
    return pd.DataFrame(dict(zip(CURVE_COLUMNS, columns, strict=True)))


def _confusion(cell: Cell, classes: list[str], wrong: int) -> pd.DataFrame:
    labels = np.arange(IMAGES) % len(classes)
    mistaken = np.random.default_rng(cell.seed).permutation(IMAGES)[:wrong]
    guesses = labels.copy()
    guesses[mistaken] = (guesses[mistaken] + 1 + mistaken % 3) % len(classes)
    names = np.array(classes)
    return pd.DataFrame({"actual": names[labels], "predicted": names[guesses]})
