"""The tables of the analyses of a trained network, in `runs/<cell>/<analysis>.csv`.

Each table has one row for each layer or block, in the order of depth, `index` from 1. docs/analyses.md defines the
columns.
"""

from __future__ import annotations

from resgrid.artifacts.cell_files import GRADIENTS_COLUMNS

# Columns that say what a row is about; all others hold numbers.
LABEL_COLUMNS = ("step", "index", "layer", "block")

ANALYSIS_COLUMNS: dict[str, tuple[str, ...]] = {
    "gradients": GRADIENTS_COLUMNS,  # written by `train`, the others by `evaluate`
    "responses": ("index", "layer", "std"),
    "blocks": ("index", "block", "residual_ratio", "lesion_error", "intact_error"),
}
