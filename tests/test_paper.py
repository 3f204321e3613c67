"""The paper's numbers equal its tables, typed here a second time."""

from __future__ import annotations

import pytest

from resgrid import paper
from resgrid.names import IMAGENET_BLOCKS, parse_network
from resgrid.paper import PublishedError

# Error of CIFAR-10 by depth, and parameters in millions as Table 6 prints them.
TABLE_6 = """
    20    8.75  0.27
    32    7.51  0.46
    44    7.17  0.66
    56    6.97  0.85
    110   6.61  1.7
    1202  7.93  19.4
"""
TABLE_2 = """
    plain18   27.94
    resnet18  27.88
    plain34   28.54
    resnet34  25.03
"""
TABLE_3 = """
    VGG-16       28.07  9.33
    plain34      28.54  10.02
    resnet34-A   25.03  7.76
    resnet34-B   24.52  7.46
    resnet34-C   24.19  7.40
    resnet50-B   22.85  6.71
    resnet101-B  21.75  6.05
    resnet152-B  21.43  5.71
"""
TABLE_4 = """
    resnet34-B   21.84  5.71
    resnet34-C   21.53  5.60
    resnet50-B   20.74  5.25
    resnet101-B  19.87  4.60
    resnet152-B  19.38  4.49
"""


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


def errors(table: tuple[PublishedError, ...]) -> list[list[str]]:
    """The errors as printed, by network, in the form of the tables above."""
    by_network: dict[str, list[str]] = {}
    for number in table:
        name = number.network.replace("-imagenet", "")
        by_network.setdefault(name, []).append(f"{number.error:.2f}")
    return [[name, *printed] for name, printed in by_network.items()]


def test_table_6() -> None:
    exact = [number for number in paper.TABLE_6 if number.error is not None]
    assert [[number.network, f"{number.error:.2f}"] for number in exact] == [
        [f"resnet{depth}-A", error] for depth, error, _ in rows(TABLE_6)
    ]
    counts = [number for number in paper.COMPLEXITY if number.source == "Table 6"]
    assert [[number.network, f"{number.value:.{number.digits}f}"] for number in counts] == [
        [f"resnet{depth}-A", millions] for depth, _, millions in rows(TABLE_6)
    ]


def test_depth_110_is_the_mean_of_five_runs_and_prints_the_best() -> None:
    (number,) = [number for number in paper.TABLE_6 if number.network == "resnet110-A"]
    assert (number.error, number.standard_deviation, number.n) == (6.61, 0.16, 5)
    assert number.text == "6.43 (6.61 ± 0.16, n = 5)"


def test_tables_2_to_5() -> None:
    assert errors(paper.TABLE_2) == [[name + "-A" * name.startswith("resnet"), error] for name, error in rows(TABLE_2)]
    assert errors(paper.TABLE_3) == rows(TABLE_3)
    assert errors(paper.TABLE_4) == rows(TABLE_4)
    assert [(number.error, number.kind) for number in paper.TABLE_5] == [(3.57, "top-5 error")]
    assert [number.kind for number in paper.TABLE_3] == ["top-1 error", "top-5 error"] * 8


def test_table_1_has_a_number_for_each_imagenet_depth() -> None:
    counts = {
        parse_network(number.network).depth: number.value for number in paper.COMPLEXITY if number.source == "Table 1"
    }
    assert counts == {18: 1.8, 34: 3.6, 50: 3.8, 101: 7.6, 152: 11.3}
    assert counts.keys() == IMAGENET_BLOCKS.keys()


def test_the_recipes() -> None:
    cifar10, imagenet = paper.CIFAR10_RECIPE, paper.IMAGENET_RECIPE
    assert (cifar10.train_images, cifar10.test_images, cifar10.batch_size, cifar10.max_steps) == (
        45_000,
        10_000,
        128,
        64_000,
    )
    assert (imagenet.train_images, imagenet.test_images, imagenet.batch_size, imagenet.max_steps) == (
        1_281_167,
        50_000,
        256,
        600_000,
    )
    for recipe in (cifar10, imagenet):
        assert (recipe.learning_rate, recipe.learning_rate_factor) == (0.1, 0.1)
        assert (recipe.momentum, recipe.weight_decay, recipe.normalize) == (0.9, 1e-4, "per_pixel_mean")
    assert paper.CIFAR10_MILESTONES == (32_000, 48_000)
    assert paper.Warmup(110, 0.01, 80) == paper.CIFAR10_WARMUP
    assert paper.IMAGENET_TEST_SCALES == (224, 256, 384, 480, 640)


@pytest.mark.parametrize("table", ["TABLE_2", "TABLE_3", "TABLE_4", "TABLE_5", "REPRODUCTIONS"])
def test_every_number_that_is_not_from_the_cifar10_recipe_has_a_caveat(table: str) -> None:
    assert all(number.caveat for number in getattr(paper, table))
    assert not any(number.caveat for number in paper.TABLE_6)


def test_reproductions() -> None:
    """akamaster's five depths, and gcr's; the deep networks that gcr calls 110 layers have 6 · 19 + 2 = 116."""
    found: dict[str, dict[str, float | None]] = {"akamaster": {}, "gcr": {}}
    for number in paper.REPRODUCTIONS:
        if number.n == 1:
            found[number.source.split("/")[1]][number.network] = number.error
    assert found["akamaster"] == {
        "resnet20-A": 8.27,
        "resnet32-A": 7.37,
        "resnet44-A": 6.90,
        "resnet56-A": 6.61,
        "resnet110-A": 6.32,
    }
    assert found["gcr"] == {
        "resnet20-A": 8.29,
        "resnet32-A": 7.63,
        "resnet44-A": 7.14,
        "resnet56-A": 6.94,
        "resnet110-A": 6.73,
        "resnet20-A-addnorm": 8.34,
        "resnet20-A, no ReLU after the addition": 8.62,
        "resnet116-A": 6.97,
        "resnet116-A-addnorm": 13.56,
        "resnet116-A, no ReLU after the addition": 6.32,
    }
    (rerun,) = [number for number in paper.REPRODUCTIONS if number.n > 1]
    assert (rerun.network, rerun.error, rerun.standard_deviation, rerun.n) == ("resnet56-A", 7.56, 0.54, 6)
