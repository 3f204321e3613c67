"""The tables of `resgrid complexity`: exercises, agreement with the paper's digits, image sizes."""

import re

import pytest

from resgrid.commands.complexity_tables import agreement, exercises, parse_image_size
from resgrid.paper import COMPLEXITY


def test_the_counting_exercises() -> None:
    counts = {exercise.task: exercise.count for exercise in exercises()}
    assert counts["3×3 convolution, 128 to 128 channels: weights"] == "147,456"
    assert counts["1×1 convolution to 32 channels, 3×3 back to 128: weights"] == "40,960"
    assert counts["2 × 3×3 convolution: receptive field"] == "5×5"
    assert counts["3 × 3×3 convolution: receptive field"] == "7×7"
    assert (counts["AlexNet: weighted layers"], counts["AlexNet: parameters"]) == ("8", "61,100,840")
    assert counts["VGG-19: parameters"] == "143,667,240"
    assert counts["GoogLeNet: parameters"] == "6,624,904"


@pytest.mark.parametrize(
    ("network", "exact", "expected"),
    [
        ("resnet18-imagenet-A", 1_794_805_760, "yes"),
        ("resnet50-imagenet-B", 3_857_973_248, "yes (truncated, not rounded)"),
        ("resnet152-imagenet-B", 11_282_415_616, "yes"),
        ("resnet110-A", 1_727_962, "yes"),
        ("resnet110-A", 1_850_000, "no"),
    ],
)
def test_agreement_with_a_printed_digit(network: str, exact: int, expected: str) -> None:
    printed = {number.network: number for number in COMPLEXITY}[network]
    assert agreement(printed, exact) == expected


@pytest.mark.parametrize(("text", "size"), [("3x32x32", (3, 32, 32)), ("1×28×40", (1, 28, 40))])
def test_an_image_size(text: str, size: tuple[int, int, int]) -> None:
    assert parse_image_size(text) == size


@pytest.mark.parametrize("text", ["3x32", "3x0x32", "3x32x32x1", "axbxc"])
def test_a_wrong_image_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"image: {text!r}: not a size; use <channels>x<height>x<width>")):
        parse_image_size(text)
