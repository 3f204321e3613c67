"""The champion: the cell with the lowest validation error, as a registered model that MLflow serves."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from resgrid.artifacts.cell_files import CellPaths, TrainMetrics
from resgrid.artifacts.files import write_atomically
from resgrid.cells import Cell
from resgrid.config.evaluate import Views
from resgrid.data.reading.normalization import NormalizeKind
from resgrid.exchange.export import EXPORTS, open_trained, run_of
from resgrid.exchange.export_formats import FILE_FORMATS, require_packages
from resgrid.terminal import console


def register_champion(cells: Iterable[Cell], name: str, normalize: NormalizeKind, views: Views) -> None:
    """Register the cell with the lowest validation error under the alias `champion`, and write an example image.

    Args:
        cells: the grid.
        name: of the registered model: the data set's name.
        normalize: the normalization that the cells were trained with.
        views: the views of an image that the cells' evaluation averaged.

    Raises:
        OSError: no cell is trained, or there are no prepared data.
        ValueError: mlflow is missing, or the cell's run is unknown.
    """
    require_packages("mlflow")
    from resgrid.tracking.champion import ModelFiles, register  # mlflow takes two seconds to import

    cell, metrics = choose(cells)
    trained = open_trained(cell, normalize, views)
    run_id = run_of(trained)
    note = (
        f"{cell.name}, chosen by validation error alone: {metrics.val_error:.2f}%, the lowest of the grid. "
        "The test error had no influence on the choice."
    )
    example = example_path(name)
    image = trained.images[0].transpose(1, 2, 0)
    example.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(example)
    with tempfile.TemporaryDirectory() as folder:
        network, description = Path(folder) / "network.pt2", Path(folder) / "description.json"
        FILE_FORMATS["torch-export"].write(trained, network)
        described = {"classes": trained.card.classes, "shape": trained.card.shape}
        write_atomically(description, json.dumps(described, ensure_ascii=False).encode())
        requirements = [f"{package}=={version(package).partition('+')[0]}" for package in ("torch", "numpy", "pillow")]
        files = ModelFiles({"network": str(network), "description": str(description)}, example.read_bytes())
        uri, predict = register(run_id, name, files, requirements, note)
    given = predict(example.read_bytes())
    expected = trained.logits[0].astype(np.float64)
    shares = np.exp(expected - expected.max()) / np.exp(expected - expected.max()).sum()
    if not np.allclose(list(given["probabilities"].values()), shares, atol=1e-5):
        raise ValueError(f"{uri}: the registered model gives other probabilities than {cell.name}; export it again")
    console.print(f"{uri}: {note} Serve it with `make serve`.", markup=False)


def choose(cells: Iterable[Cell]) -> tuple[Cell, TrainMetrics]:
    """Return the trained cell with the lowest validation error; of equals, that with the fewest weights.

    Raises:
        FileNotFoundError: no cell is trained.
    """
    paths = [CellPaths(cell) for cell in cells]
    trained = [(path.cell, TrainMetrics.read(path.metrics)) for path in paths if path.metrics.is_file()]
    finite = [each for each in trained if np.isfinite(each[1].val_loss)]
    if not finite:
        raise FileNotFoundError("runs: no cell of the grid is trained; train the grid first, with `make run`")
    return min(finite, key=lambda each: (each[1].val_error, each[1].parameters, each[0].name))


def example_path(name: str) -> Path:
    """Return the path of an image that the champion classifies."""
    return EXPORTS / f"{name}-example.png"
