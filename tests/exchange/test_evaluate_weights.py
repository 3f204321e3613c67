"""Any weights on any data: which images, how normalized, with what result."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torchvision.models import ResNet18_Weights
from torchvision.transforms import PILToTensor

from resgrid.artifacts.cell_files import CellPaths
from resgrid.data.reading.normalization import given_normalization
from resgrid.exchange.evaluate_weights import evaluate_weights, find_weights, open_folder, warnings_about
from resgrid.exchange.export import export_cell
from resgrid.exchange.image_folder import ImageFolder
from resgrid.exchange.pretrained import fetch_pretrained
from resgrid.exchange.weights_file import WeightsFile
from support.prepared_data import HandMade, make_prepared_cell


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HandMade:
    monkeypatch.chdir(tmp_path)
    return make_prepared_cell()


def printed(capsys: pytest.CaptureFixture[str], weights: Path | str, **options: object) -> str:
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
    output = printed(capsys, CellPaths(made.cell).weights)
    assert (
        "on Noise, test split of data/prepared; normalization: per_pixel_mean of the training part of Noise" in output
    )
    assert f"│ 20 │ {100 * wrong.mean():.2f} │ {loss:.4f} │" in output
    assert f"│ emu │ {100 * wrong[made.labels == 2].mean():.2f} │" in output


def test_gpus_compute_convolutions_in_fp32(
    made: HandMade, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # torch's default
    printed(capsys, CellPaths(made.cell).weights)
    assert not torch.backends.cudnn.allow_tf32


def test_where_the_normalization_comes_from(made: HandMade, capsys: pytest.CaptureFixture[str]) -> None:
    weights = CellPaths(made.cell).weights
    assert "normalization: channel of the training part of Noise" in printed(capsys, weights, normalization="channel")
    given = given_normalization("0.1,0.2,0.3", "1,1,1")
    assert "normalization: mean [0.1, 0.2, 0.3], std [1.0, 1.0, 1.0], as given" in printed(
        capsys, weights, normalization=given
    )
    plain = printed(capsys, weights)
    export_cell(made.cell, "safetensors", "per_pixel_mean", "single", None)
    capsys.readouterr()
    exported = Path("exports/resnet8-A-0.safetensors")
    # The data's own kind would be another: the file's statement goes before params.yaml, and gives the same result.
    stated = printed(capsys, exported, default_normalize="channel")
    assert "per_pixel_mean of the training part of Noise, as exports/resnet8-A-0.safetensors states it" in stated
    assert stated.partition("┏")[2] == plain.partition("┏")[2]
    assert "normalization: channel of" in printed(capsys, exported, normalization="channel")


@pytest.mark.parametrize(
    ("mean", "std"),
    [("0.5", None), ("0.5,x", "1,1"), ("0.5", "1,1"), ("0.5", "0"), (None, "1"), ("nan", "1"), ("0.5", "inf")],
)
def test_wrong_statistics_are_refused(mean: str | None, std: str | None) -> None:
    with pytest.raises(ValueError, match="not one number per channel, with std above 0"):
        given_normalization(mean, std)


def test_mistakes_are_named(made: HandMade, capsys: pytest.CaptureFixture[str]) -> None:
    weights = CellPaths(made.cell).weights
    with pytest.raises(ValueError, match=r"mean \[0\.5\].* has the shape 1×1×1, the images 3×16×16"):
        printed(capsys, weights, normalization=given_normalization("0.5", "1"))
    with pytest.raises(ValueError, match="split: 'exam': unknown; use train, val, test"):
        printed(capsys, weights, split="exam")
    with pytest.raises(ValueError, match=r"resnet18\.ckpt': neither a file nor torchvision's weights"):
        printed(capsys, "resnet18.ckpt")
    with pytest.raises(
        ValueError, match=r"runs: contains no prepared data .* torchvision weights that it corresponds to"
    ):
        printed(capsys, weights, data=Path("runs"))


def test_images_in_files_give_the_results_of_arrays(
    made: HandMade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = printed(capsys, CellPaths(made.cell).weights)
    (tmp_path / "files").mkdir()
    monkeypatch.chdir(tmp_path / "files")
    in_files = make_prepared_cell("files")
    assert printed(capsys, CellPaths(in_files.cell).weights) == arrays


@pytest.mark.parametrize(
    "stated",
    [
        "[" * 100_000,
        "{}",
        '{"words": "", "mean": [[[NaN]]], "std": null}',
        '{"words": "", "mean": [[[0]]], "std": [[[0]]]}',
        '{"words": "", "mean": [[[0], []]], "std": null}',
    ],
)
def test_a_damaged_normalization_is_refused(stated: str) -> None:
    with pytest.raises(ValueError, match=r"^x\.safetensors: damaged normalization in the header"):
        _ = WeightsFile(Path("x.safetensors"), {}, {"normalization": stated}).normalization


def test_weights_of_another_network_or_of_other_classes_are_noticed(
    made: HandMade, capsys: pytest.CaptureFixture[str]
) -> None:
    path, tensors = Path("stated.safetensors"), safetensors.torch.load_file(CellPaths(made.cell).weights)
    safetensors.torch.save_file(tensors, path, {"network": "plain8"})
    with pytest.raises(ValueError, match="the header states network plain8; use --network with it"):
        printed(capsys, path)
    safetensors.torch.save_file(tensors, path, {"network": "resnet8-A", "classes": '["a", "b", "c", "d"]'})
    assert "the weights are for the classes a, b, c, d; the data have cat, dog, emu, fox" in printed(capsys, path)
    for damaged in ("[a", "3", "[3]", "[" * 100_000):
        safetensors.torch.save_file(tensors, path, {"classes": damaged})
        with pytest.raises(ValueError, match="the classes in the header are not a list of names"):
            printed(capsys, path)


def test_weights_that_give_no_finite_logits_are_refused(made: HandMade, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = safetensors.torch.load_file(CellPaths(made.cell).weights)
    tensors["bn1.running_var"] -= 1e6
    safetensors.torch.save_file(tensors, "negative.safetensors")
    with pytest.raises(ValueError, match="logits of 20 of 20 images are NaN or infinite"):
        printed(capsys, "negative.safetensors")


@pytest.mark.parametrize(
    ("network", "header", "warned"),
    [
        ("resnet50-imagenet-B", {}, True),
        ("resnet50-imagenet-B", {"network": "resnet50-imagenet-B"}, False),
        ("resnet50-imagenet-B-stride3x3", {}, False),
        ("resnet34-imagenet-B", {}, False),
        ("torchvision-resnet50", {}, False),
    ],
)
def test_torchvision_s_weights_have_their_stride_elsewhere(network: str, header: dict[str, str], warned: bool) -> None:
    warnings = list(warnings_about(WeightsFile(Path("resnet50.pth"), {}, header), network, ["cat"]))
    assert ["test them as resnet50-imagenet-B-stride3x3" in warning for warning in warnings] == [True] * warned


def test_pretrained_weights_are_downloaded_once_or_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(
        OSError, match=r"download from https://download\.pytorch\.org.* failed .*--weights resnet18-f37072fd"
    ):
        find_weights("ResNet18_Weights.IMAGENET1K_V1", None)
    cached = tmp_path / "checkpoints/resnet18-f37072fd.pth"
    assert [*cached.parent.iterdir()] == []
    cached.touch()
    assert find_weights("ResNet18_Weights.IMAGENET1K_V1", None) == (cached, ResNet18_Weights.IMAGENET1K_V1)
    assert fetch_pretrained(ResNet18_Weights.IMAGENET1K_V1) == cached
    assert find_weights(str(cached), "ResNet18_Weights.IMAGENET1K_V1") == (cached, ResNet18_Weights.IMAGENET1K_V1)


def test_a_folder_of_images_gets_the_transforms_of_the_weights(tmp_path: Path) -> None:
    for index in range(1000):
        (tmp_path / f"n{index:08}").mkdir()
        Image.new("RGB", (12, 10), (index % 256, 0, 255)).save(tmp_path / f"n{index:08}" / "image.png")
    weights, cpu = ResNet18_Weights.IMAGENET1K_V1, torch.device("cpu")
    opened = open_folder(tmp_path, weights, 4, None, cpu, 0)
    images = next(iter(opened.batches))
    assert images.shape == (4, 3, 224, 224)
    assert opened.labels.tolist() == list(range(1000))
    assert images[2, :, 0, 0].tolist() == pytest.approx(
        [(2 / 255 - 0.485) / 0.229, -0.456 / 0.224, (1 - 0.406) / 0.225]
    )
    assert opened.classes[1] == "n00000001 goldfish"
    assert "crop_size=[224]" in opened.description
    images = next(iter(open_folder(tmp_path, weights, 4, given_normalization("0,0,0", "1,1,1"), cpu, 0).batches))
    assert images[2, :, 0, 0].tolist() == pytest.approx([2 / 255, 0, 1])
    (tmp_path / "n00000999/image.png").unlink()
    (tmp_path / "n00000999").rmdir()
    with pytest.raises(ValueError, match=r"has 999 classes, but ResNet18_Weights\.IMAGENET1K_V1 has 1000"):
        open_folder(tmp_path, weights, 4, None, cpu, 0)
    with pytest.raises(ValueError, match="nowhere: contains no images; use a folder with a folder of images"):
        open_folder(tmp_path / "nowhere", weights, 4, None, cpu, 0)


def test_a_folder_is_read_by_the_project_s_own_reader(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    for name in ("b.png", "a.PNG"):
        Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "cat" / name)
    (tmp_path / "cat" / "Thumbs.db").write_bytes(b"")
    images = ImageFolder(tmp_path, torch.nn.Identity(), 2, 0)
    assert (images.classes, images.labels.tolist(), len(images)) == (["cat"], [0, 0], 2)
    # Pillow alone opens many formats by content, and starts Ghostscript for PostScript.
    Image.new("RGB", (8, 8)).save(tmp_path / "cat" / "c.jpg", "GIF")
    batches = iter(ImageFolder(tmp_path, PILToTensor(), 2, 0))
    assert next(batches).shape == (2, 3, 8, 8)
    with pytest.raises(ValueError, match=r"cat/c\.jpg: not readable as an image: "):
        next(batches)
