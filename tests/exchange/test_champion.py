"""The choice of the champion."""

from pathlib import Path

import pytest

from resgrid.artifacts.cell_files import CellPaths, TrainMetrics
from resgrid.cells import Cell
from resgrid.exchange.champion import choose


def train(cell: Cell, val_error: float, parameters: int, val_loss: float = 1.0) -> None:
    errors = {"train_error": 0.0, "selected_val_error": 0.0, "val_error": val_error, "val_loss": val_loss}
    numbers = {"steps": 1, "selected_step": 1, "epochs": 1.0, "train_loss": 0.0, "parameters": parameters}
    TrainMetrics.model_validate(
        {"network": cell.network, "seed": cell.seed, "precision": "32", "fingerprint": "f"} | errors | numbers
    ).write(CellPaths(cell).metrics)


def test_the_champion_has_the_lowest_validation_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = [Cell("plain8", seed) for seed in range(5)]
    with pytest.raises(FileNotFoundError, match="no cell of the grid is trained; train the grid first"):
        choose(cells)
    for cell, val_error, parameters in zip(cells, (3.0, 2.0, 2.0, 5.0), (10, 20, 10, 5), strict=False):
        train(cell, val_error, parameters)
    train(cells[4], 1.0, 1, val_loss=float("nan"))
    assert choose(cells)[0] == Cell("plain8", 2)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_the_request_is_quoted() -> None:
    from resgrid.tracking.champion import curl_command

    assert "base64 < 'a b.png' |" in curl_command(Path("a b.png"), 5002)
