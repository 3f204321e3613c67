"""The table of analyses: the content of each file, and the images that it is measured on."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from torch import nn

from resgrid.artifacts.analyses import ANALYSIS_COLUMNS
from resgrid.data.reading.device_images import DeviceImages
from resgrid.evaluation.activation_maps import first_of_classes
from resgrid.evaluation.analyses import ANALYSES, Subject
from resgrid.evaluation.sampling import Batches, evenly_spaced
from resgrid.models import build_network
from support.repository import ROOT


@pytest.fixture
def images() -> DeviceImages:
    """Ten images of 8×8: all pixels of an image have the value of its index, which is also its label."""
    pixels = np.arange(10, dtype=np.uint8).repeat(64).reshape(10, 1, 8, 8)
    return DeviceImages(pixels, np.arange(10), np.zeros((1, 8, 8), dtype=np.float32), None)


def subject(network: nn.Module, images: DeviceImages) -> Subject:
    """The network predicts the class after the right one for the last image only."""
    logits = torch.eye(10)
    logits[9] = logits[0]
    batches = Batches(images, 4)
    return Subject("plain8-0", network.eval(), logits, batches, batches, [f"class {index}" for index in range(10)])


def test_each_analysis_is_an_output_of_evaluate_and_each_table_has_columns() -> None:
    stages = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]

    def outputs(stage: str) -> set[str]:
        parts = [part for kind in ("outs", "metrics", "plots") for part in stages[stage].get(kind, ())]
        return {Path(next(iter(part)) if isinstance(part, dict) else part).name for part in parts}

    assert {*ANALYSES, "logits.npy", "evaluation.json", "complexity.json"} == outputs("evaluate")
    tables = {f"{name}.csv" for name in ANALYSIS_COLUMNS}
    assert tables == {name for name in ANALYSES if name.endswith(".csv")} - {"confusion.csv"} | {"gradients.csv"}
    assert "gradients.csv" in outputs("train")


def test_a_part_of_a_split_is_evenly_spaced() -> None:
    assert evenly_spaced(10, 4).tolist() == [0, 2, 5, 7]
    assert evenly_spaced(3, None).tolist() == evenly_spaced(3, 5).tolist() == [0, 1, 2]


def test_batches_can_be_iterated_again(images: DeviceImages) -> None:
    batches = Batches(images, 3, 4)
    for _ in range(2):
        assert [labels.tolist() for _, labels in batches] == [[0, 2, 5], [7]]
        (first, _), (second, _) = batches
        assert first.shape == (3, 1, 8, 8)
        assert second[0, 0, 0, 0].item() == pytest.approx(7 / 255)
    assert images.pixels(torch.tensor([5, 2]))[:, 0, 0, 0].tolist() == [5, 2]


def test_samples_are_the_first_of_each_wanted_class_that_has_images() -> None:
    labels = torch.tensor([2, 0, 2, 0, 3])
    assert first_of_classes(labels, torch.tensor([0, 1, 2])).tolist() == [1, 0]


def test_a_confusion_table_has_a_row_for_each_image(images: DeviceImages) -> None:
    rows = ANALYSES["confusion.csv"](subject(nn.Identity(), images)).decode().splitlines()
    assert len(rows) == 11
    assert rows[:2] == ["actual,predicted", "class 0,class 0"]
    assert rows[10] == "class 9,class 0"


def test_tables_have_a_row_for_each_layer_and_block(images: DeviceImages) -> None:
    network = build_network("plain8", in_channels=1)
    header, *layers = ANALYSES["responses.csv"](subject(network, images)).decode().splitlines()
    assert header == "index,layer,std"
    assert [row.rsplit(",", 1)[0] for row in layers[:2]] == ["1,conv1", "2,layer1.0.conv1"]
    header, *blocks = ANALYSES["blocks.csv"](subject(network, images)).decode().splitlines()
    assert header == "index,block,residual_ratio,lesion_error,intact_error"
    assert [row.split(",")[:3] for row in blocks] == [[str(index), f"layer{index}.0", ""] for index in (1, 2, 3)]


def test_a_network_without_blocks_or_3x3_layers_has_tables_without_rows(
    images: DeviceImages, capsys: pytest.CaptureFixture[str]
) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten(), nn.Linear(256, 10))
    assert ANALYSES["responses.csv"](subject(network, images)) == b"index,layer,std\n"
    empty = b"index,block,residual_ratio,lesion_error,intact_error\n"
    assert ANALYSES["blocks.csv"](subject(network, images)) == empty
    assert "plain8-0: the network is not made of blocks; blocks.csv gets no rows" in capsys.readouterr().err
