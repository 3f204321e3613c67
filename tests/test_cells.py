"""Network names, cells and the grid."""

import pytest

from resgrid.cells import Cell, Network, grid, parse_cell, parse_network


@pytest.mark.parametrize(
    ("name", "network", "blocks"),
    [
        ("plain8", Network(8, "none"), 1),
        ("plain20", Network(20, "none"), 3),
        ("resnet56-B", Network(56, "B"), 9),
        ("resnet110-A", Network(110, "A"), 18),
        ("resnet1202-C", Network(1202, "C"), 200),
    ],
)
def test_a_name_says_the_whole_network_and_comes_back(name: str, network: Network, blocks: int) -> None:
    assert parse_network(name) == network
    assert network.name == name
    assert network.blocks_per_stage == blocks


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("resnet21-A", "'resnet21-A' has depth 21; allowed are .* 6n\\+2"),
        ("resnet2-A", "has depth 2"),
        ("resnet20", "says no shortcut option"),
        ("resnet20-D", "has the shortcut option 'D'"),
        ("plain20-A", "gives a plain network the shortcut A"),
        ("resnet020-A", "is no network name"),
        ("ResNet20-A", "is no network name"),
        ("", "is no network name"),
        ("resnet20-A\n", "is no network name"),
    ],
)
def test_a_name_that_means_nothing_is_refused_with_the_reason(name: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_network(name)


def test_a_cell_name_comes_back() -> None:
    cell = Cell("resnet20-A", 12)
    assert cell.name == "resnet20-A-12"
    assert parse_cell(cell.name) == cell


@pytest.mark.parametrize("name", ["resnet20-A", "resnet20-A-x", "20-1"])
def test_a_wrong_cell_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is no (cell|network) name"):
        parse_cell(name)


def test_the_grid_has_networks_outside_and_seeds_inside() -> None:
    names = [cell.name for cell in grid(["plain8", "resnet8-A"], [0, 1])]
    assert names == ["plain8-0", "plain8-1", "resnet8-A-0", "resnet8-A-1"]
