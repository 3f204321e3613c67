"""Figures of a cell's files, as PNG, for its run in MLflow."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from resgrid.artifacts.analyses import ANALYSIS_COLUMNS, LABEL_COLUMNS
from resgrid.artifacts.cell_files import CellPaths
from resgrid.artifacts.class_names import drawable_names


def draw_figures(paths: CellPaths) -> dict[str, bytes]:
    """Draw the figures of a cell's files, by file name."""
    tables = (paths.curve, paths.confusion, *map(paths.analysis, ANALYSIS_COLUMNS))
    drawn = {f"{path.stem}.png": FIGURES.get(path.name, draw_columns)(path) for path in tables if path.is_file()}
    if paths.activation_maps.is_file():
        drawn[paths.activation_maps.name] = paths.activation_maps.read_bytes()
    return {name: picture for name, picture in drawn.items() if picture is not None}


def draw_curve(curve: Path) -> bytes:
    """Draw training error (thin) and validation error (bold) in percent, by step."""
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
    """Draw the share of each actual class (row) that was predicted as each class (column), in percent."""
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
        names = drawable_names(classes)
        axes.set_xticks(range(len(classes)), names, rotation=90, parse_math=False)
        axes.set_yticks(range(len(classes)), names, parse_math=False)
        for row, column in np.argwhere(shares >= 0.5):
            share = shares[row, column]
            color = "white" if share > 50 else "black"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=8, color=color)
    return _png(figure)


def draw_gradients(gradients: Path) -> bytes | None:
    """Draw gradient norm and relative update by layer, one line for each recorded step; None without rows."""
    rows = pd.read_csv(gradients)
    if rows.empty:
        return None
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    for color, (step, layers) in zip(("#9ecae1", "#4292c6", "#08306b"), rows.groupby("step"), strict=False):
        style = {"color": color, "marker": "o", "markersize": 3, "label": f"step {step}"}
        upper.plot(layers["index"], layers["gradient_norm"], **style)
        lower.plot(layers["index"], layers["update_ratio"], **style)
    upper.set(yscale="log", ylabel="norm of the gradient", title=f"{gradients.parent.name}: gradient flow")
    lower.set(yscale="log", ylabel="norm of the update / of the weight", xlabel="layer, in the order of depth")
    lower.xaxis.get_major_locator().set_params(integer=True)
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    figure.legend(*upper.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return _png(figure)


def draw_responses(responses: Path) -> bytes | None:
    """Draw layer responses in the original order and sorted (paper, Fig. 7); None without rows."""
    rows = pd.read_csv(responses)
    if rows.empty:
        return None
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    upper.plot(rows["index"], rows["std"], marker="o", markersize=3)
    lower.plot(rows["index"], sorted(rows["std"], reverse=True), marker="o", markersize=3)
    upper.set(title=f"{responses.parent.name}: layer responses", xlabel="3×3 layer, original order")
    lower.set(xlabel="3×3 layer, sorted by magnitude")
    lower.xaxis.get_major_locator().set_params(integer=True)
    for axes in (upper, lower):
        axes.set(ylabel="standard deviation", ylim=(0, None))
        axes.grid(alpha=0.3)
    return _png(figure)


def draw_blocks(blocks: Path) -> bytes | None:
    """Draw each block's lesion error and, with shortcuts, the size of its residual; None without rows."""
    rows = pd.read_csv(blocks)
    if rows.empty:
        return None
    residual = bool(rows["residual_ratio"].notna().any())
    figure = Figure(figsize=(6.4, 5.6 if residual else 3.4), layout="constrained")
    charts = figure.subplots(1 + residual, sharex=True, squeeze=False)[:, 0]
    lesion = charts[0]
    lesion.bar(rows["index"], rows["lesion_error"], color="#4292c6", label="one block dropped")
    lesion.axhline(rows["intact_error"].iloc[0], color="black", linestyle="--", linewidth=1.2, label="whole network")
    lesion.set(ylabel="test error (%)", ylim=(0, 100), title=f"{blocks.parent.name}: one block dropped")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    if residual:
        charts[1].bar(rows["index"], rows["residual_ratio"], color="#4292c6")
        charts[1].set(ylabel="‖F(x)‖ / ‖shortcut(x)‖")
    for axes in charts:
        axes.grid(alpha=0.3, axis="y")
        axes.set_axisbelow(True)
    charts[-1].set(xlabel="block, in the order of depth")
    charts[-1].xaxis.get_major_locator().set_params(integer=True)
    return _png(figure)


def draw_columns(table: Path) -> bytes | None:
    """Draw each measured column of an analysis against `index`; None if the table has no rows."""
    rows = pd.read_csv(table)
    measured = [column for column in map(str, rows) if column not in LABEL_COLUMNS]
    if rows.empty:
        return None
    figure = Figure(figsize=(6.4, 0.6 + 2.6 * len(measured)), layout="constrained")
    charts = figure.subplots(len(measured), sharex=True, squeeze=False)[:, 0]
    for axes, column in zip(charts, measured, strict=True):
        axes.plot(rows["index"], rows[column], marker="o", markersize=3)
        axes.set(ylabel=column.replace("_", " "))
        axes.grid(alpha=0.3)
    charts[0].set(title=f"{table.parent.name}: {table.stem.replace('_', ' ')}")
    charts[-1].set(xlabel="in the order of depth")
    charts[-1].xaxis.get_major_locator().set_params(integer=True)
    return _png(figure)


# How each file is drawn; `draw_columns` draws all other tables.
FIGURES: dict[str, Callable[[Path], bytes | None]] = {
    "curve.csv": draw_curve,
    "confusion.csv": draw_confusion,
    "gradients.csv": draw_gradients,
    "responses.csv": draw_responses,
    "blocks.csv": draw_blocks,
}


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    return content.getvalue()
