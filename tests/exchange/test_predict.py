"""Prediction for a user's images: the class of a known digit, the files that are written, and mistakes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import ResNet18_Weights

from resgrid.artifacts.data_card import DatasetCard
from resgrid.data.reading.normalization import Normalization
from resgrid.exchange.predict import as_prepared, as_pretrained, find_images, predict
from resgrid.models import build_network

CARD = DatasetCard(
    name="digits",
    label="Digits",
    note="",
    shape=(1, 8, 8),
    classes=["dark", "bright"],
    counts={"train": 1, "val": 1, "test": 1},
    channel_mean=[0.5],
    channel_std=[0.25],
    sha256={"train/images.npy": "0" * 64},
)


def write_image(path: Path, shade: int, size: tuple[int, int] = (20, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, shade).save(path)
    return path


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Prepared data's card, and weights of a plain8 that always answers `bright`."""
    monkeypatch.chdir(tmp_path)
    CARD.write(tmp_path / "data/prepared/card.json")
    network = build_network("plain8", 2, 1)
    state = network.state_dict()
    state["linear.weight"].zero_()
    state["linear.bias"].copy_(torch.tensor([0.0, 3.0]))
    save_file(state, tmp_path / "w.safetensors")
    return tmp_path


def test_each_image_gets_a_class_a_probability_and_a_picture(repository: Path) -> None:
    write_image(repository / "photos/b.png", 200)
    write_image(repository / "photos/a x.png", 10)
    (repository / "photos/notes.txt").write_text("no image")
    found = predict(Path("photos"), "plain8", "w.safetensors", Path("out"), "channel")
    assert [each.file.name for each in found] == ["a x.png", "b.png"]
    assert {each.classes for each in found} == {("bright", "dark")}
    assert found[0].probabilities == pytest.approx([1 / (1 + np.exp(-3)), 1 / (1 + np.exp(3))])
    rows = list(csv.DictReader(Path("out/predictions.csv").read_text().splitlines()))
    assert [(row["image"], row["class"]) for row in rows] == [("a x.png", "bright"), ("b.png", "bright")]
    assert sorted(path.name for path in Path("out").glob("*.png")) == ["a_x.png.map.png", "b.png.map.png"]
    assert found[1].picture == Path("out/b.png.map.png").read_bytes()
    assert found[1].picture.startswith(b"\x89PNG")


def test_images_are_cropped_to_the_shape_of_the_data_and_normalized() -> None:
    wide = Image.new("RGB", (30, 10), "white")
    wide.paste("black", (5, 0, 25, 10))
    normalization = Normalization(np.full((1, 1, 1), 0.5), np.full((1, 1, 1), 0.25), "")
    pixels, normalized = as_prepared(CARD, normalization).prepare(wide)
    assert pixels.shape == (1, 8, 8)
    assert pixels.max() == 0  # the central square is black
    assert normalized.tolist() == torch.full((1, 8, 8), -2.0).tolist()


def test_pretrained_weights_bring_their_transforms_and_classes() -> None:
    preparation = as_pretrained(ResNet18_Weights.IMAGENET1K_V1)
    pixels, normalized = preparation.prepare(Image.new("RGB", (300, 400), (255, 0, 128)))
    assert preparation.classes[0] == "tench"
    assert normalized.shape == (3, 224, 224)
    assert pixels[:, 100, 100].tolist() == [255, 0, 128]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no image and no folder with images; use"):
        find_images(tmp_path)


def test_a_file_that_is_no_image_is_named(repository: Path) -> None:
    (repository / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken\.png: not readable as an image: .*; remove or replace the file"):
        predict(Path("broken.png"), "plain8", "w.safetensors", Path("out"), "channel")
