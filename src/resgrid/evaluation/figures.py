"""A cell's own figures, for its page in MLflow: its curve and its confusion matrix, as PNG."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure


def draw_curve(curve: Path) -> bytes:
    """Training error (thin) and validation error (bold) in percent, by step, from a `curve.csv`."""
    rows = pd.read_csv(curve)
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rows["step"], rows["train/error"], linewidth=1, label="training (augmented)")
    axes.plot(rows["step"], rows["val/error"], linewidth=2.2, label="validation")
    axes.set(xlabel="step", ylabel="error (%)", ylim=(0, None), title=curve.parent.name)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return _png(figure)


def draw_confusion(confusion: Path) -> bytes:
    """Share of each actual class (row) that was taken for each class (column), in percent, from a `confusion.csv`."""
    pairs = pd.read_csv(confusion, dtype=str, keep_default_na=False)
    table = pd.crosstab(pairs["actual"], pairs["predicted"], normalize="index") * 100
    classes = sorted(set(pairs["actual"]) | set(pairs["predicted"]))
    shares = table.reindex(index=classes, columns=classes, fill_value=0.0).to_numpy()
    size = 2.5 + 0.42 * min(len(classes), 20)
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axes.set(xlabel="predicted", ylabel="actual", title=f"{confusion.parent.name}: share of the actual class (%)")
    if len(classes) <= 20:
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(classes)), classes)
        for row, column in np.argwhere(shares >= 0.5):
            share = shares[row, column]
            colour = "white" if share > 50 else "black"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=8, color=colour)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()
