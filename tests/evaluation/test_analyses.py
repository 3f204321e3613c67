"""The tables of the analyses, the images that they are measured on, and their figures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from resgrid.data.reading.device_images import DeviceImages
from resgrid.evaluation.analyses import blocks_csv, first_of_classes, responses_csv
from resgrid.evaluation.figures import draw_blocks, draw_gradients, draw_responses
from resgrid.evaluation.sampling import Batches, evenly_spaced
from resgrid.models import build_network


@pytest.fixture
def images() -> DeviceImages:
    """Ten images of 8×8 whose pixels are all of their number's brightness, labeled by that number."""
    pixels = np.arange(10, dtype=np.uint8).repeat(64).reshape(10, 1, 8, 8)
    return DeviceImages(pixels, np.arange(10), np.zeros((1, 8, 8), dtype=np.float32), None)


def test_a_part_of_a_split_is_evenly_spaced_and_can_be_gone_through_again() -> None:
    assert evenly_spaced(10, 4).tolist() == [0, 2, 5, 7]
    assert evenly_spaced(3, None).tolist() == evenly_spaced(3, 5).tolist() == [0, 1, 2]


def test_batches_bring_the_images_with_their_labels(images: DeviceImages) -> None:
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


def test_tables_have_a_row_for_each_layer_and_block(images: DeviceImages) -> None:
    network, batches = build_network("plain8", in_channels=1).eval(), Batches(images, 4)
    header, *layers = responses_csv(network, batches).decode().splitlines()
    assert header == "index,layer,std"
    assert [row.rsplit(",", 1)[0] for row in layers[:2]] == ["1,conv1", "2,layer1.0.conv1"]
    header, *blocks = blocks_csv(network, batches, batches).decode().splitlines()
    assert header == "index,block,residual_ratio,lesion_error,intact_error"
    assert [row.split(",")[:3] for row in blocks] == [[str(index), f"layer{index}.0", ""] for index in (1, 2, 3)]


def test_a_network_without_blocks_or_3x3_layers_has_tables_without_rows_and_no_figures(
    images: DeviceImages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, batches = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten(), nn.Linear(256, 10)), Batches(images, 4)
    responses, blocks = tmp_path / "responses.csv", tmp_path / "blocks.csv"
    responses.write_bytes(responses_csv(network, batches))
    blocks.write_bytes(blocks_csv(network, batches, batches))
    assert responses.read_text() == "index,layer,std\n"
    assert blocks.read_text() == "index,block,residual_ratio,lesion_error,intact_error\n"
    assert "not made of blocks" in capsys.readouterr().err
    assert draw_responses(responses) is None
    assert draw_blocks(blocks) is None


def test_tables_can_be_drawn(tmp_path: Path) -> None:
    gradients, blocks = tmp_path / "gradients.csv", tmp_path / "blocks.csv"
    gradients.write_text(
        "step,index,layer,gradient_norm,update_ratio\n1,1,conv1,2.0,0.1\n1,2,linear,0.0,inf\n4,1,conv1,nan,0.1\n"
    )
    for ratios in (("0.5", "0.25"), ("", "")):
        rows = [f"{index},b{index},{ratio},50,9" for index, ratio in enumerate(ratios, start=1)]
        blocks.write_text("\n".join(["index,block,residual_ratio,lesion_error,intact_error", *rows]))
        assert (draw_blocks(blocks) or b"").startswith(b"\x89PNG")
    assert (draw_gradients(gradients) or b"").startswith(b"\x89PNG")
