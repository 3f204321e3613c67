"""Class names in figures: matplotlib's own font, the same on every machine, lacks the signs of many scripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib import get_data_path
from matplotlib.ft2font import FT2Font


def font_file() -> Path:
    """Return the file of matplotlib's own font, DejaVu Sans."""
    return Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf"


def drawable_names(classes: Sequence[str]) -> list[str]:
    """Return the names that the font can draw; another name becomes `class <label>`.

    Args:
        classes: names by label.
    """
    font = FT2Font(str(font_file()))
    has_signs = [all(font.get_char_index(ord(sign)) for sign in name) for name in classes]
    return [
        name if drawn else f"class {label}" for label, (name, drawn) in enumerate(zip(classes, has_signs, strict=True))
    ]
