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
        ("resnet18-stem3x3-B", PlainOrResidual(depth=18, shortcut="B", images="stem3x3")),
        ("resnet50-stem3x3-B", PlainOrResidual(depth=50, shortcut="B", images="stem3x3", bottleneck=True)),
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
    ("name", "module", "kind"),
    [
        ("plain20", "cifar", "plain"),
        ("resnet110-C-preact", "cifar", "resnet-C-preact"),
        ("resnet50-imagenet-B", "imagenet", "resnet-imagenet-B"),
        ("resnet18-stem3x3-B", "imagenet", "resnet-stem3x3-B"),
        ("alexnet", "alexnet", "alexnet"),
        ("vgg16-cifar", "vgg", "vgg16-cifar"),
        ("googlenet-cifar", "inception", "googlenet-cifar"),
        ("densenet100-bc-k100", "densenet", "densenet-bc-k100"),
        ("torchvision-wide_resnet50_2", "torchvision_networks", "torchvision-wide_resnet_2"),
        ("torchvision-vit_b_16", "torchvision_networks", "torchvision-vit_b_16"),
    ],
)
def test_a_network_has_a_module_and_a_kind(name: str, module: str, kind: str) -> None:
    network = parse_network(name)
    assert (network.module, network.kind) == (module, kind)


@pytest.mark.parametrize(
    ("name", "modifier", "plain_counterpart"),
    [
        ("plain20", "", None),
        ("resnet20-A", "", "plain20"),
        ("resnet20-C", "", "plain20"),
        ("plain20-nonorm-tanh", "nonorm-tanh", None),
        ("resnet20-A-latenorm", "latenorm", "plain20-latenorm"),
        ("resnet20-A-addnorm", "addnorm", "plain20"),
        ("resnet56-B-preact-leaky", "preact-leaky", "plain56-leaky"),
        ("resnet50-imagenet-B-stride3x3", "imagenet-stride3x3", "plain50-imagenet-stride3x3"),
        ("plain29-bottleneck", "bottleneck", None),
    ],
)
def test_a_plain_or_residual_network_has_a_modifier_and_a_plain_counterpart(
    name: str, modifier: str, plain_counterpart: str | None
) -> None:
    network = parse_network(name)
    assert isinstance(network, PlainOrResidual)
    assert (network.modifier, network.plain_counterpart) == (modifier, plain_counterpart)
    assert plain_counterpart is None or parse_network(plain_counterpart).depth == network.depth


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("resnet21-A", "depth 21 is not 6n+2; use 8, 14, 20"),
        ("resnet2-A", "depth 2 is not 6n+2"),
        ("resnet21-A-bottleneck", "depth 21 is not 9n+2; use 11, 20"),
        ("resnet2-A-bottleneck", "depth 2 is not 9n+2"),
        ("resnet20-imagenet-A", "depth 20 is not an ImageNet depth; use 18, 34, 50, 101, 152"),
        ("resnet20", "has no shortcut option; use resnet20 with -A, -B or -C"),
        ("resnet20-D", "'D' is not a modifier; use imagenet, stem3x3, A, B, C, bottleneck"),
        ("resnet20-A-", "'' is not a modifier"),
        ("resnet20-A\n", r"'A\n' is not a modifier"),
        ("resnet20-A-B", "sets its shortcut twice; use one of A, B, C"),
        ("resnet20-A-preact-nonorm", "sets its norm twice; use one of latenorm, addnorm, nonorm, preact"),
        ("resnet20-preact-A", "each network has only one name; write 'resnet20-A-preact'"),
        ("plain20-A", "a plain network has no shortcut option; use plain20 or resnet20 with -A"),
        ("plain20-preact", "without shortcuts, preact is the paper's order of layers; use plain20, or preact with"),
        ("plain20-addnorm-tanh", "without shortcuts, addnorm is the paper's order of layers; use plain20-tanh, or add"),
        ("resnet50-imagenet-B-bottleneck", "ImageNet networks have bottlenecks from depth 50 on; omit -bottleneck"),
        ("resnet34-imagenet-B-stride3x3", "only bottlenecks can have stride3x3; use it as in resnet50-imagenet-B-str"),
        ("densenet101-bc", "depth 101 is not 6n+4; use 10, 16"),
        ("densenet41", "depth 41 is not 3n+4; use 7, 10"),
        ("densenet100-B", "'B' is not a modifier of DenseNets; use bc or k<growth>"),
        ("densenet100-bc-k12", "each network has only one name; write 'densenet100-bc'"),
        ("densenet100-k0", "'k0' is not a modifier"),
        ("vgg12-cifar", "not a network name; use plain<depth> or resnet<depth>-<A|B|C>"),
        ("torchvision-", "'' is not a torchvision builder"),
        ("torchvision-VGG16", "'VGG16' is not a torchvision builder; use lowercase letters"),
        ("torchvision:vgg16", "not a network name"),
        ("resnet020-A", "not a network name"),
        ("resnet60002-A", "not a network name"),
        ("ResNet20-A", "not a network name"),
        ("resnet２0-A", "not a network name"),
        ("", "not a network name"),
    ],
)
def test_an_invalid_name_is_refused_with_the_reason(name: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'{name!r}: {problem}')}"):
        parse_network(name)


@pytest.mark.parametrize("name", ["resnet20-A-12", "torchvision-vgg16_bn-0", "densenet100-bc-1"])
def test_a_cell_name_comes_back(name: str) -> None:
    assert parse_cell(name).name == name
    assert parse_cell("resnet20-A-12") == Cell("resnet20-A", 12)


@pytest.mark.parametrize("name", ["resnet20-A", "resnet20-A-x", "20-1", "resnet20-A-01"])
def test_a_wrong_cell_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"not a (cell|network) name"):
        parse_cell(name)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match=f"^seed: {seed}: out of range; use 0 to 4294967295$"):
        Cell("plain8", seed)


def test_the_grid_has_networks_outside_and_seeds_inside() -> None:
    names = [cell.name for cell in grid(["plain8", "resnet8-A"], [0, 1])]
    assert names == ["plain8-0", "plain8-1", "resnet8-A-0", "resnet8-A-1"]
