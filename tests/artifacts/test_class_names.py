"""Class names of any script appear in figures as they are, or as their label's number."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from resgrid.artifacts.class_names import drawable_names
from resgrid.data.preparing.samples import draw_samples
from resgrid.data.reading.store import Split
from resgrid.evaluation.activation_maps import draw_activation_maps
from resgrid.tracking.figures import draw_confusion

NAMES = ["a$_$b", "$\\frac$", "猫", "Müßiggänger", "кошка", "kedi™", "한국"]
DRAWN = ["a$_$b", "$\\frac$", "class 2", "Müßiggänger", "кошка", "kedi™", "class 6"]


def test_names_without_signs_in_the_font_become_numbers() -> None:
    assert drawable_names(NAMES) == DRAWN


def test_figures_are_drawn_without_a_complaint(tmp_path: Path) -> None:
    images = np.zeros((len(NAMES), 3, 8, 8), np.uint8)
    rows = "".join(f"{index},{name},{name}\n" for index, name in enumerate(NAMES))
    (tmp_path / "confusion.csv").write_text(f"index,actual,predicted\n{rows}", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a sign that the font lacks
        draw_activation_maps(images, np.zeros((len(NAMES), 2, 2)), DRAWN, DRAWN[::-1], "resnet8-A-0")
        draw_confusion(tmp_path / "confusion.csv")


def test_the_sheet_of_samples_shows_letters_of_other_scripts() -> None:
    cat, dog = (
        draw_samples(Split(np.zeros((1, 3, 8, 8), np.uint8), np.zeros(1, np.int64)), [name]) for name in ("кот", "пёс")
    )
    assert cat.tobytes() != dog.tobytes()  # Pillow's own font would draw three equal boxes
