"""Several views of an image: their probabilities are averaged; whole images are for networks of any input size only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from resgrid.artifacts.data_card import PreparedPaths
from resgrid.artifacts.files import sha256_of_file, write_atomically
from resgrid.config.evaluate import EvaluateConfig
from resgrid.data.reading.device_images import DeviceImages
from resgrid.data.reading.file_images import FileImages
from resgrid.data.reading.pixels import five_crops, read_rgb, scaled
from resgrid.data.reading.store import ImageFiles, as_npy
from resgrid.evaluation.views import compute_logits, demand_global_pooling
from resgrid.models import build_network
from support.image_folder import jpeg, picture

SIZES = ((40, 30), (30, 40), (40, 30))


@pytest.fixture
def images(tmp_path: Path) -> FileImages:
    """Three pictures, two of them of one size."""
    names = [f"test/cat/{number}.jpg" for number in range(len(SIZES))]
    for seed, (name, size) in enumerate(zip(names, SIZES, strict=True)):
        write_atomically(tmp_path / name, jpeg(picture(*size, seed)))
    paths = PreparedPaths(tmp_path / "prepared")
    hashes = [list(bytes.fromhex(sha256_of_file(tmp_path / name))) for name in names]
    write_atomically(paths.image_files("test"), as_npy(np.array([name.encode() for name in names])))
    write_atomically(paths.image_hashes("test"), as_npy(np.array(hashes, dtype=np.uint8)))
    write_atomically(paths.labels("test"), as_npy(np.zeros(3, dtype=np.int64)))
    return FileImages(ImageFiles(paths, "test", tmp_path), 28, 24, np.full((3, 1, 1), 0.5), None, np.eye(3), 0)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return build_network("resnet8-A", num_classes=4).eval()


def settings(views: str, scales: list[int] | None = None) -> EvaluateConfig:
    return EvaluateConfig.model_validate({"batch_size": 2, "threads": 1, "views": views, "scales": scales or []})


def mean_log_probabilities(network: nn.Module, views: list[np.ndarray]) -> Tensor:
    """View by view, and each as it is and mirrored."""
    answers = []
    for view in views:
        for pixels in (view, view[:, ::-1]):
            planes = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255 - 0.5
            answers.append(network(planes)[0].softmax(0))
    return torch.stack(answers).mean(0).log()


@pytest.mark.parametrize(
    ("config", "views_of"),
    [
        (settings("ten_crop"), lambda image: five_crops(image, 28, 24)),
        (settings("multi_scale", [24, 36]), lambda image: [np.asarray(scaled(image, scale)) for scale in (24, 36)]),
    ],
    ids=["ten_crop", "multi_scale"],
)
def test_the_probabilities_of_all_views_are_averaged(
    images: FileImages, network: nn.Module, config: EvaluateConfig, views_of: Callable[..., list[np.ndarray]]
) -> None:
    logits = compute_logits(network, images, config)
    assert (logits.shape, logits.dtype) == ((3, 4), torch.float32)
    torch.testing.assert_close(logits.exp().sum(1), torch.ones(3))
    with torch.inference_mode():
        expected = [mean_log_probabilities(network, views_of(read_rgb(images.files.read(row)))) for row in range(3)]
    torch.testing.assert_close(logits, torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_a_single_view_gives_the_networks_own_logits(images: FileImages, network: nn.Module) -> None:
    with torch.inference_mode():
        expected = network(images.plain(torch.arange(3))[0])
    torch.testing.assert_close(compute_logits(network, images, settings("single")), expected, rtol=1e-4, atol=1e-5)


class WithHead(nn.Module):
    """A convolution and the given end."""

    def __init__(self, *head: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 2, 1), *head)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        ((nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(98, 4)), "pools to 7×7 positions"),
        ((nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 8), nn.Linear(8, 4)), "ends in 2 linear layers"),
        ((nn.Flatten(), nn.Linear(2 * 24 * 24, 4)), "fails for an image of 36×24 pixels"),
    ],
)
def test_networks_without_global_average_pooling_are_refused(
    images: FileImages, head: tuple[nn.Module, ...], problem: str
) -> None:
    with pytest.raises(
        ValueError, match=f"evaluate.views: 'multi_scale': the network {problem}.*; use 'single' or 'ten_crop'"
    ):
        compute_logits(WithHead(*head), images, settings("multi_scale", [24]))


def test_networks_that_end_in_global_average_pooling_pass(images: FileImages, network: nn.Module) -> None:
    demand_global_pooling(network, images)


def test_several_views_of_arrays_are_refused(network: nn.Module) -> None:
    arrays = DeviceImages(np.zeros((2, 3, 8, 8), np.uint8), np.zeros(2, np.int64), np.zeros((3, 1, 1)), None)
    with pytest.raises(ValueError, match=r"evaluate.views: 'ten_crop': needs data.storage 'files'; set it to 'single'"):
        compute_logits(network, arrays, settings("ten_crop"))
