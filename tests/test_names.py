"""Network names, cells and the grid."""

import re

import pytest

from resgrid.cells import Cell, grid, parse_cell
from resgrid.names import DenseNetwork, FixedNetwork, Network, PlainOrResidual, TorchvisionNetwork, parse_network


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("plain8", PlainOrResidual(depth=8)),
        ("resnet56-B", PlainOrResidual(depth=56, shortcut="B")),
        ("resnet1202-C", PlainOrResidual(depth=1202, shortcut="C")),
        ("plain164-bottleneck", PlainOrResidual(depth=164, bottleneck=True)),
        (
            "resnet164-A-bottleneck-stride3x3",
            PlainOrResidual(depth=164, shortcut="A", bottleneck=True, stride_in="3x3"),
        ),
        ("plain34-imagenet", PlainOrResidual(depth=34, images="imagenet")),
        (
            "resnet50-imagenet-B-stride3x3",
            PlainOrResidual(depth=50, shortcut="B", images="imagenet", bottleneck=True, stride_in="3x3"),
        ),
        ("resnet56-A-preact", PlainOrResidual(depth=56, shortcut="A", norm="preact")),
        ("plain20-nonorm-sigmoid", PlainOrResidual(depth=20, norm="nonorm", activation="sigmoid")),
        ("densenet40", DenseNetwork(depth=40)),
        ("densenet100-bc", DenseNetwork(depth=100, compressed=True)),
        ("densenet250-bc-k24", DenseNetwork(depth=250, growth=24, compressed=True)),
        ("vgg16-cifar", FixedNetwork(depth=14, key="vgg16-cifar")),
        ("inception-cifar", FixedNetwork(depth=12, key="inception-cifar")),
        ("alexnet", FixedNetwork(depth=8, key="alexnet")),
        ("torchvision-vgg16_bn", TorchvisionNetwork(depth=16, builder="vgg16_bn")),
        ("torchvision-wide_resnet50_2", TorchvisionNetwork(depth=50, builder="wide_resnet50_2")),
        ("torchvision-vit_b_16", TorchvisionNetwork(depth=None, builder="vit_b_16")),
    ],
)
def test_a_name_says_the_whole_network_and_comes_back(name: str, network: Network) -> None:
    assert parse_network(name) == network
    assert network.name == name
    assert re.fullmatch(r"[A-Za-z0-9_-]+", name)


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("plain8", (1, 1, 1)),
        ("resnet110-A", (18, 18, 18)),
        ("resnet164-A-bottleneck", (18, 18, 18)),
        ("resnet18-imagenet-A", (2, 2, 2, 2)),
        ("resnet152-imagenet-B", (3, 8, 36, 3)),
    ],
)
def test_depth_gives_the_blocks_of_each_stage(name: str, blocks: tuple[int, ...]) -> None:
    network = parse_network(name)
    assert isinstance(network, PlainOrResidual)
    assert network.blocks_per_stage == blocks


@pytest.mark.parametrize(
    ("name", "family", "module", "plain_counterpart"),
    [
        ("plain20", "plain", "cifar", None),
        ("resnet20-A", "resnet", "cifar", "plain20"),
        ("resnet20-C", "resnet", "cifar", "plain20"),
        ("plain20-nonorm-tanh", "plain", "cifar", None),
        ("resnet20-A-latenorm", "resnet", "cifar", "plain20-latenorm"),
        ("resnet20-A-addnorm", "resnet", "cifar", "plain20"),
        ("resnet56-B-preact-leaky", "resnet", "cifar", "plain56-leaky"),
        ("resnet50-imagenet-B-stride3x3", "resnet", "imagenet", "plain50-imagenet-stride3x3"),
        ("plain29-bottleneck", "plain", "cifar", None),
        ("alexnet", "alexnet", "alexnet", None),
        ("vgg16-cifar", "vgg", "vgg", None),
        ("googlenet-cifar", "inception", "inception", None),
        ("densenet100-bc", "densenet", "densenet", None),
        ("torchvision-resnet18", "torchvision", "torchvision_networks", None),
    ],
)
def test_a_network_knows_its_family_and_its_plain_counterpart(
    name: str, family: str, module: str, plain_counterpart: str | None
) -> None:
    network = parse_network(name)
    assert (network.family, network.module, network.plain_counterpart) == (family, module, plain_counterpart)
    assert plain_counterpart is None or parse_network(plain_counterpart).depth == network.depth


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("resnet21-A", "'resnet21-A' has depth 21; allowed are 6n\\+2"),
        ("resnet2-A", "has depth 2"),
        ("resnet21-A-bottleneck", "has depth 21; allowed with bottlenecks are 9n\\+2"),
        ("resnet2-A-bottleneck", "has depth 2"),
        ("resnet20-imagenet-A", "has depth 20; allowed for imagenet are 18, 34, 50, 101, 152"),
        ("resnet20", "says no shortcut option; allowed are resnet20 with -A, -B or -C"),
        ("resnet20-D", "has the modifier 'D'; allowed are imagenet, A, B, C, bottleneck"),
        ("resnet20-A-", "has the modifier ''"),
        ("resnet20-A\n", r"has the modifier 'A\\n'"),
        ("resnet20-A-B", "says its shortcut twice; allowed is one of A, B, C"),
        ("resnet20-A-preact-nonorm", "says its norm twice; allowed is one of latenorm, addnorm, nonorm, preact"),
        ("resnet20-preact-A", "is written 'resnet20-A-preact'"),
        ("plain20-A", "gives a plain network the shortcut A"),
        ("plain20-preact", "without shortcuts preact is the paper's order of layers; allowed is plain20"),
        ("plain20-addnorm-tanh", "allowed is plain20-tanh"),
        ("resnet50-imagenet-B-bottleneck", "says bottleneck; allowed is that for small images only"),
        ("resnet34-imagenet-B-stride3x3", "says stride3x3; allowed is that with bottlenecks only"),
        ("densenet101-bc", "has depth 101; allowed are 6n\\+4"),
        ("densenet41", "has depth 41; allowed are 3n\\+4"),
        ("densenet100-B", "has the modifier 'B'; allowed are bc and k<growth>"),
        ("densenet100-bc-k12", "is written 'densenet100-bc'"),
        ("densenet100-k0", "has the modifier 'k0'"),
        ("vgg12-cifar", "is no network name; allowed are .* vgg11-cifar, vgg13-cifar"),
        ("torchvision-", "names the torchvision builder ''"),
        ("torchvision-VGG16", "names the torchvision builder 'VGG16'; .* in small letters"),
        ("torchvision:vgg16", "is no network name; allowed are .* torchvision-<builder>"),
        ("resnet020-A", "is no network name"),
        ("ResNet20-A", "is no network name"),
        ("resnet２0-A", "is no network name"),
        ("", "is no network name"),
    ],
)
def test_a_name_that_means_nothing_is_refused_with_the_reason(name: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_network(name)


@pytest.mark.parametrize("name", ["resnet20-A-12", "torchvision-vgg16_bn-0", "densenet100-bc-1"])
def test_a_cell_name_comes_back(name: str) -> None:
    assert parse_cell(name).name == name
    assert parse_cell("resnet20-A-12") == Cell("resnet20-A", 12)


@pytest.mark.parametrize("name", ["resnet20-A", "resnet20-A-x", "20-1"])
def test_a_wrong_cell_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is no (cell|network) name"):
        parse_cell(name)


def test_the_grid_has_networks_outside_and_seeds_inside() -> None:
    names = [cell.name for cell in grid(["plain8", "resnet8-A"], [0, 1])]
    assert names == ["plain8-0", "plain8-1", "resnet8-A-0", "resnet8-A-1"]
