"""Any weights on any data: which images, how normalized, with what result."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import ResNet18_Weights

from resgrid.artifacts.cell_files import CellPaths
from resgrid.data.reading.normalization import given_normalization
from resgrid.exchange.evaluate_weights import evaluate_weights, find_weights, open_folder
from resgrid.exchange.export import export_cell
from resgrid.exchange.pretrained import fetch_pretrained
from support.prepared_data import HandMade, make_prepared_cell


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HandMade:
    monkeypatch.chdir(tmp_path)
    return make_prepared_cell()


def said(capsys: pytest.CaptureFixture[str], weights: Path | str, **options: object) -> str:
    arguments = {
        "network_name": "resnet8-A",
        "data": Path("data/prepared"),
        "split": "test",
        "normalization": None,
        "transforms": None,
        "batch_size": 7,
        "default_normalize": "per_pixel_mean",
    }
    evaluate_weights(weights=str(weights), **(arguments | options))  # pyright: ignore[reportArgumentType]
    return " ".join(capsys.readouterr().err.split())


def test_error_loss_and_errors_by_class(made: HandMade, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = made.logits.argmax(axis=1) != made.labels
    exponentials = np.exp(made.logits.astype(np.float64))
    loss = -np.log(exponentials[np.arange(20), made.labels] / exponentials.sum(axis=1)).mean()
    output = said(capsys, CellPaths(made.cell).weights)
    assert (
        "on Noise, test split of data/prepared; normalization: per_pixel_mean of the training part of Noise" in output
    )
    assert f"│ 20 │ {100 * wrong.mean():.2f} │ {loss:.4f} │" in output
    assert f"│ emu │ {100 * wrong[made.labels == 2].mean():.2f} │" in output


def test_where_the_normalisation_comes_from(made: HandMade, capsys: pytest.CaptureFixture[str]) -> None:
    weights = CellPaths(made.cell).weights
    assert "normalization: channel of the training part of Noise" in said(capsys, weights, normalization="channel")
    given = given_normalization("0.1,0.2,0.3", "1,1,1")
    assert "normalization: mean [0.1, 0.2, 0.3], std [1.0, 1.0, 1.0], as given" in said(
        capsys, weights, normalization=given
    )
    plain = said(capsys, weights)
    export_cell(made.cell, "safetensors", "per_pixel_mean", None)
    capsys.readouterr()
    exported = Path("exports/resnet8-A-0.safetensors")
    # The data's own kind would be another: the file's statement goes before params.yaml, and gives the same result.
    stated = said(capsys, exported, default_normalize="channel")
    assert "per_pixel_mean of the training part of Noise, as exports/resnet8-A-0.safetensors states it" in stated
    assert stated.partition("┏")[2] == plain.partition("┏")[2]
    assert "normalization: channel of" in said(capsys, exported, normalization="channel")


@pytest.mark.parametrize(("mean", "std"), [("0.5", None), ("0.5,x", "1,1"), ("0.5", "1,1"), ("0.5", "0"), (None, "1")])
def test_statistics_that_are_none(mean: str | None, std: str | None) -> None:
    with pytest.raises(ValueError, match="not one number per channel, with std above 0"):
        given_normalization(mean, std)


def test_mistakes_are_answered(made: HandMade, capsys: pytest.CaptureFixture[str]) -> None:
    weights = CellPaths(made.cell).weights
    with pytest.raises(ValueError, match=r"mean \[0\.5\].* has 1 channels, the images 3"):
        said(capsys, weights, normalization=given_normalization("0.5", "1"))
    with pytest.raises(ValueError, match="split: 'exam': unknown; use train, val, test"):
        said(capsys, weights, split="exam")
    with pytest.raises(ValueError, match=r"resnet18\.ckpt': neither a file nor torchvision's weights"):
        said(capsys, "resnet18.ckpt")
    with pytest.raises(
        ValueError, match=r"runs: contains no prepared data .* torchvision weights that it corresponds to"
    ):
        said(capsys, weights, data=Path("runs"))


def test_published_weights_are_fetched_once_or_the_way_around_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(
        OSError, match=r"download from https://download\.pytorch\.org.* failed .*--weights resnet18-f37072fd"
    ):
        find_weights("ResNet18_Weights.IMAGENET1K_V1", None)
    cached = tmp_path / "checkpoints/resnet18-f37072fd.pth"
    assert [*cached.parent.iterdir()] == []
    cached.touch()
    assert find_weights("ResNet18_Weights.IMAGENET1K_V1", None) == (cached, ResNet18_Weights.IMAGENET1K_V1)
    assert fetch_pretrained(ResNet18_Weights.IMAGENET1K_V1) == cached
    named = find_weights("here.pth", "ResNet18_Weights.IMAGENET1K_V1")
    assert named == (Path("here.pth"), ResNet18_Weights.IMAGENET1K_V1)


def test_a_folder_of_images_gets_the_transforms_of_the_weights(tmp_path: Path) -> None:
    for index in range(1000):
        (tmp_path / f"n{index:08}").mkdir()
        Image.new("RGB", (12, 10), (index % 256, 0, 255)).save(tmp_path / f"n{index:08}" / "image.png")
    weights, cpu = ResNet18_Weights.IMAGENET1K_V1, torch.device("cpu")
    opened = open_folder(tmp_path, weights, 4, None, cpu)
    images = next(iter(opened.batches))
    assert images.shape == (4, 3, 224, 224)
    assert opened.labels.tolist() == list(range(1000))
    assert images[2, :, 0, 0].tolist() == pytest.approx(
        [(2 / 255 - 0.485) / 0.229, -0.456 / 0.224, (1 - 0.406) / 0.225]
    )
    assert opened.classes[1] == "n00000001 goldfish"
    assert "crop_size=[224]" in opened.description
    images = next(iter(open_folder(tmp_path, weights, 4, given_normalization("0,0,0", "1,1,1"), cpu).batches))
    assert images[2, :, 0, 0].tolist() == pytest.approx([2 / 255, 0, 1])
    (tmp_path / "n00000999/image.png").unlink()
    (tmp_path / "n00000999").rmdir()
    with pytest.raises(ValueError, match=r"has 999 classes, but ResNet18_Weights\.IMAGENET1K_V1 has 1000"):
        open_folder(tmp_path, weights, 4, None, cpu)
    with pytest.raises(ValueError, match="nowhere: contains no images; use a folder with a folder of images"):
        open_folder(tmp_path / "nowhere", weights, 4, None, cpu)
