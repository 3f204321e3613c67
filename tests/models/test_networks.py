"""All networks: exact counts, depths, shapes; what the paper's families begin with."""

import pytest
import torch
from torch import nn

from resgrid.models import build_network, count_parameters
from resgrid.models.families.inception import InceptionBlock
from resgrid.names import parse_network

SMALL = [
    "plain8",
    "resnet8-A",
    "resnet8-B",
    "resnet8-C",
    "resnet11-A-bottleneck",
    "resnet11-B-bottleneck-stride3x3",
    "resnet8-A-latenorm",
    "resnet8-B-addnorm",
    "resnet8-C-nonorm",
    "resnet8-B-preact",
    "plain8-latenorm",
    "plain8-nonorm-sigmoid",
    "plain8-tanh",
    "plain8-leaky",
    "plain18-imagenet",
    "resnet18-imagenet-A",
    "resnet50-imagenet-B",
    "plain18-stem3x3",
    "resnet18-stem3x3-B",
    "vgg11-cifar",
    "inception-cifar",
    "googlenet-cifar",
    "densenet7",
    "densenet10-bc",
]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # The paper's Table 6, exactly.
        ("resnet20-A", 269_722),
        ("resnet32-A", 464_154),
        ("resnet44-A", 658_586),
        ("resnet56-A", 853_018),
        ("resnet110-A", 1_727_962),
        ("resnet20-B", 272_474),
        ("resnet20-C", 283_962),
        # kuangliu's pytorch-cifar: ResNet18 has 11,173,962 and ResNet34 21,282,122.
        ("resnet18-stem3x3-B", 11_173_962),
        ("resnet34-stem3x3-B", 21_282_122),
        # Without the three projections.
        ("plain18-stem3x3", 11_173_962 - 64 * 128 - 2 * 128 - 128 * 256 - 2 * 256 - 256 * 512 - 2 * 512),
        ("resnet18-stem3x3-A", 11_000_138),
        # Identity Mappings in Deep Residual Networks: 1.7 million.
        ("resnet164-B-bottleneck", 1_704_154),
        ("resnet164-B-bottleneck-preact", 1_703_258),
        # A bias in place of a scale and a shift for each of 240 channels.
        ("plain8-nonorm", 75_290 - 240),
        # DenseNet's Table 2: 1.0 and 0.8 million.
        ("densenet40", 1_019_722),
        ("densenet100-bc", 769_162),
        # Zhang et al.: 1,649,402 without the 1,712 scales of batch norm.
        ("inception-cifar", 1_649_402 + 1_712),
        # The 3×3 convolutions of the original, batch norm, one linear layer.
        ("vgg16-cifar", 14_710_464 + 2 * 4_224 + 5_130),
    ],
)
def test_parameters_of_networks_for_small_images(name: str, parameters: int) -> None:
    assert count_parameters(build_network(name)) == parameters


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet18-imagenet-B", 11_689_512),
        ("resnet34-imagenet-A", 21_623_848),
        ("plain34-imagenet", 21_623_848),
        ("resnet34-imagenet-B", 21_797_672),
        ("resnet34-imagenet-C", 22_716_840),
        ("resnet50-imagenet-B", 25_557_032),
        ("resnet50-imagenet-B-stride3x3", 25_557_032),
        ("resnet101-imagenet-B", 44_549_160),
        ("resnet152-imagenet-B", 60_192_808),
        ("alexnet", 60_965_224),
        ("torchvision-alexnet", 61_100_840),
        ("torchvision-googlenet", 6_624_904),
        ("torchvision-vgg19", 143_667_240),
        ("torchvision-densenet121", 7_978_856),
    ],
)
def test_parameters_of_networks_for_imagenet(name: str, parameters: int) -> None:
    with torch.device("meta"):  # counting needs no values
        assert count_parameters(build_network(name, num_classes=1000)) == parameters


@pytest.mark.slow
def test_the_deepest_network_has_the_paper_s_parameters() -> None:
    assert count_parameters(build_network("resnet1202-A")) == 19_421_274


@pytest.mark.parametrize(
    "name",
    [
        "plain8",
        "resnet8-B",
        "resnet20-C-preact",
        "resnet29-B-bottleneck",
        "resnet34-imagenet-B",
        "resnet50-imagenet-C",
        "vgg16-cifar",
        "densenet40",
        "densenet100-bc",
        "alexnet",
        "torchvision-vgg16_bn",
        "torchvision-densenet121",
    ],
)
def test_depth_counts_the_weighted_layers_on_the_longest_path(name: str) -> None:
    with torch.device("meta"):
        network = build_network(name)
    layers = [
        path
        for path, module in network.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and "shortcut" not in path and "downsample" not in path
    ]
    assert len(layers) == parse_network(name).depth


def test_depth_counts_the_longest_branch_of_inception_blocks() -> None:
    with torch.device("meta"):
        blocks = build_network("googlenet-cifar").get_submodule("blocks").children()
        small = build_network("inception-cifar").get_submodule("blocks").children()
    assert (
        parse_network("googlenet-cifar").depth == 1 + sum(2 * isinstance(block, InceptionBlock) for block in blocks) + 1
    )
    assert parse_network("inception-cifar").depth == 1 + len(list(small)) + 1


@pytest.mark.parametrize("name", SMALL)
def test_any_small_image_gives_one_logit_for_each_class(name: str) -> None:
    network = build_network(name, num_classes=7, in_channels=1).eval()
    for height, width in ((8, 8), (28, 28), (32, 40)):
        assert network(torch.zeros(2, 1, height, width)).shape == (2, 7)


@pytest.mark.parametrize(
    ("depth", "modifiers"),
    [(8, ""), (20, ""), (56, ""), (8, "-nonorm"), (11, "-bottleneck"), (8, "-latenorm-tanh")],
)
def test_a_plain_network_has_the_weights_of_its_option_a_counterpart(depth: int, modifiers: str) -> None:
    name = f"plain{depth}{modifiers}"
    counterpart = f"resnet{depth}-A{modifiers}"
    assert parse_network(counterpart).plain_counterpart == name
    torch.manual_seed(0)
    ours = build_network(name).state_dict()
    torch.manual_seed(0)
    theirs = build_network(counterpart).state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("name", "norm", "first", "last"),
    [
        ("plain20", 37.0603757, [-0.25560251, -0.107999, 0.081581548], [0.042650498, 0.19638444, -0.15174271]),
        ("resnet20-A", 37.0603757, [-0.25560251, -0.107999, 0.081581548], [0.042650498, 0.19638444, -0.15174271]),
        ("resnet20-B", 39.5287556, [0.20683554, 0.20899871, -0.15220809], [-0.30146199, -0.043393612, 0.016938059]),
        ("resnet20-C", 45.257988, [0.16492459, -0.04158204, 0.19092694], [0.13999814, -0.14462554, -0.23316926]),
    ],
)
def test_initial_weights_stay_what_they_were(name: str, norm: float, first: list[float], last: list[float]) -> None:
    torch.manual_seed(0)
    weights = build_network(name).state_dict()
    assert list(weights)[:3] == ["conv1.weight", "bn1.weight", "bn1.bias"]
    assert weights["conv1.weight"].flatten()[:3].tolist() == pytest.approx(first, rel=1e-5)
    assert weights["linear.weight"].flatten()[-3:].tolist() == pytest.approx(last, rel=1e-5)
    convolutions = [value.double().square().sum().item() for value in weights.values() if value.ndim == 4]
    assert sum(convolutions) ** 0.5 == pytest.approx(norm, rel=1e-6)


def test_initialization_has_he_s_deviation() -> None:
    torch.manual_seed(0)
    network = build_network("plain20")
    weight = network.get_submodule("layer3.1.conv1").weight
    assert isinstance(weight, torch.Tensor)
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.01)


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="num_classes 0"):
        build_network("plain8", num_classes=0)
