"""A cell's own figures as PNG, for its page in MLflow, and the class activation maps for its folder."""

from __future__ import annotations

import io
import textwrap
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
            color = "white" if share > 50 else "black"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=8, color=color)
    return _png(figure)


def draw_gradients(gradients: Path) -> bytes | None:
    """Gradient norm and relative update by layer, a line for each recorded step, from a `gradients.csv`."""
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
    """Standard deviations of layer responses in the original order and sorted (Fig. 7), from a `responses.csv`."""
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
    """Lesion error by block beside the intact network's, and residual size where there are shortcuts, from a
    `blocks.csv`."""
    rows = pd.read_csv(blocks)
    if rows.empty:
        return None
    residual = bool(rows["residual_ratio"].notna().any())
    figure = Figure(figsize=(6.4, 5.6 if residual else 3.4), layout="constrained")
    panels = figure.subplots(1 + residual, sharex=True, squeeze=False)[:, 0]
    lesion = panels[0]
    lesion.bar(rows["index"], rows["lesion_error"], color="#4292c6", label="one block dropped")
    lesion.axhline(rows["intact_error"].iloc[0], color="black", linestyle="--", linewidth=1.2, label="whole network")
    lesion.set(ylabel="test error (%)", ylim=(0, 100), title=f"{blocks.parent.name}: one block dropped")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    if residual:
        panels[1].bar(rows["index"], rows["residual_ratio"], color="#4292c6")
        panels[1].set(ylabel="‖F(x)‖ / ‖shortcut(x)‖")
    for axes in panels:
        axes.grid(alpha=0.3, axis="y")
        axes.set_axisbelow(True)
    panels[-1].set(xlabel="block, in the order of depth")
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    return _png(figure)


def draw_activation_maps(
    pixels: np.ndarray, maps: np.ndarray, actual: list[str], predicted: list[str], title: str
) -> bytes:
    """Images beside the maps of what speaks for their predicted class, with the names of both classes.

    Each map has its own scale, from what speaks most against the class to what speaks most for it.

    Args:
        pixels: uint8 (N, C, H, W), of one channel or three.
        maps: float (N, h, w).
        actual: class names (N).
        predicted: class names (N).
        title: of the figure.
    """
    columns = min(len(pixels), 5)
    rows = -(-len(pixels) // columns)
    figure = Figure(figsize=(2.4 * columns, 0.4 + 1.35 * rows))
    figure.suptitle(f"{title}: what speaks for the predicted class is bright", fontsize=10)
    # One pair of axes for all: each would cost as much time as all the pictures.
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98 - 0.4 / (0.4 + 1.35 * rows)))
    axes.set(xlim=(0, 2.25 * columns), ylim=(1.27 * rows, 0))
    axes.set_axis_off()
    for index, (image, activations, right, answer) in enumerate(zip(pixels, maps, actual, predicted, strict=True)):
        left, top = 2.25 * (index % columns) + 0.1, 1.27 * (index // columns) + 0.25
        here, beside = (left, left + 1, top + 1, top), (left + 1.03, left + 2.03, top + 1, top)
        picture = np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
        axes.imshow(picture, extent=here, aspect="auto")
        axes.imshow(activations, cmap="inferno", interpolation="bilinear", extent=beside, aspect="auto")
        axes.imshow(picture.mean(axis=2), cmap="gray", vmin=0, vmax=255, alpha=0.3, extent=beside, aspect="auto")
        is_right = right == answer
        actual_name, predicted_name = (textwrap.shorten(name, 18, placeholder="…") for name in (right, answer))
        name = actual_name if is_right else f"{actual_name}, taken for {predicted_name}"
        style = {"ha": "center", "va": "bottom", "fontsize": 9, "color": "black" if is_right else "#b30000"}
        axes.text(left + 1.015, top - 0.03, name, **style)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    return content.getvalue()
