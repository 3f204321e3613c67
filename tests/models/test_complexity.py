"""Counts of networks against the paper's numbers, hand-made ones, torchvision's and real gradients."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from resgrid.models import build_network
from resgrid.models.complexity import count, count_network
from resgrid.names import parse_network

CIFAR = (3, 32, 32)


@pytest.mark.parametrize(
    ("name", "depth", "parameters", "multiply_adds"),
    [
        ("plain20", 20, 269_722, 40_551_040),
        ("resnet20-A", 20, 269_722, 40_551_040),
        ("resnet20-B", 20, 272_474, 40_551_040 + 2 * 131_072),  # two projections of 16·32·256 and 32·64·64
        ("resnet20-C", 20, 283_962, None),
        ("resnet32-A", 32, 464_154, 68_862_592),
        ("resnet44-A", 44, 658_586, 97_174_144),
        ("resnet56-A", 56, 853_018, 125_485_696),
        ("resnet110-A", 110, 1_727_962, 252_887_680),
    ],
)
def test_the_cifar_family_has_the_paper_s_counts(
    name: str, depth: int, parameters: int, multiply_adds: int | None
) -> None:
    cost = count_network(name, CIFAR, 10)
    assert (cost.depth, cost.parameters) == (depth, parameters)
    assert multiply_adds is None or cost.multiply_adds == multiply_adds
    assert sum(cost.parts.values()) == parameters
    assert sum(layer.parameters for layer in cost.layers) == parameters


@pytest.mark.parametrize(
    ("name", "multiply_adds", "receptive_field"),
    [
        # Receptive fields of 50 to 152: distill.pub/2019/computing-receptive-fields, table of networks.
        ("resnet18-imagenet-A", 1_794_805_760, 435),
        ("resnet34-imagenet-A", 3_644_493_824, 899),
        ("resnet50-imagenet-B", 3_857_973_248, 483),
        ("resnet50-imagenet-B-stride3x3", 4_089_184_256, 427),
        pytest.param("resnet101-imagenet-B", 7_570_194_432, 1027, marks=pytest.mark.slow),
        pytest.param("resnet152-imagenet-B", 11_282_415_616, 1507, marks=pytest.mark.slow),
    ],
)
def test_the_imagenet_family_has_the_paper_s_counts(name: str, multiply_adds: int, receptive_field: int) -> None:
    cost = count_network(name, (3, 224, 224), 1000)
    assert (cost.multiply_adds, cost.receptive_field) == (multiply_adds, receptive_field)


@pytest.mark.parametrize(
    "name",
    [
        "resnet29-A-bottleneck",
        "resnet20-B-preact",
        "vgg11-cifar",
        "densenet22-bc",
        "inception-cifar",
        "googlenet-cifar",
    ],
)
def test_the_longest_path_has_the_layers_that_a_name_says(name: str) -> None:
    cost = count_network(name, CIFAR, 10)
    assert cost.depth == parse_network(name).depth
    assert sum(cost.parts.values()) == cost.parameters


def test_networks_that_compute_with_values_and_small_images_are_counted_too() -> None:
    assert count_network("torchvision-regnet_y_400mf", CIFAR, 10).depth == 82
    # Averages of maps to 6×6 are products of matrices there: no multiply-adds of a layer.
    cost = count_network("torchvision-alexnet", CIFAR, 10)
    assert cost.multiply_adds == sum(layer.multiply_adds for layer in cost.layers if layer.parameters)


@pytest.mark.slow
def test_the_deepest_network_is_counted_in_seconds() -> None:
    cost = count_network("resnet1202-A", CIFAR, 10)
    assert (cost.depth, cost.parameters, cost.multiply_adds) == (1202, 19_421_274, 2_829_238_912)


def test_parts_are_stem_stages_and_head() -> None:
    assert count_network("resnet20-A", CIFAR, 10).parts == {
        "stem": 3 * 16 * 9 + 2 * 16,
        "stage 1": 6 * (16 * 16 * 9 + 2 * 16),
        "stage 2": 16 * 32 * 9 + 5 * 32 * 32 * 9 + 6 * 2 * 32,
        "stage 3": 32 * 64 * 9 + 5 * 64 * 64 * 9 + 6 * 2 * 64,
        "head": 64 * 10 + 10,
    }


def test_kept_activations_are_the_inputs_of_norms_and_convolutions() -> None:
    # Each convolution's output (for batch norm) and its norm's output, overwritten by ReLU (for the next convolution).
    maps = 7 * 16 * 32 * 32 + 6 * 32 * 16 * 16 + 6 * 64 * 8 * 8
    assert count_network("plain20", CIFAR, 10).activation_bytes == 4 * (3 * 32 * 32 + 2 * maps + 64)


def test_kept_activations_are_what_autograd_really_keeps() -> None:
    network = build_network("resnet8-B").train()
    sums: list[int] = []
    for batch in (2, 3):
        kept: dict[int, torch.UntypedStorage] = {}

        def pack(tensor: Tensor, kept: dict[int, torch.UntypedStorage] = kept) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network(torch.randn(batch, *CIFAR))
        sums.append(sum(storage.nbytes() for storage in kept.values()))
    assert count_network("resnet8-B", CIFAR, 10).activation_bytes == sums[1] - sums[0]


def test_each_layer_has_its_shape_its_depth_and_its_field() -> None:
    layers = {layer.path: layer for layer in count_network("resnet20-B", CIFAR, 10).layers}
    convolution = layers["layer2.0.conv1"]
    assert (convolution.output, convolution.depth) == ((32, 16, 16), 8)
    assert (convolution.parameters, convolution.multiply_adds) == (4608, 4608 * 256)
    # The stem and six convolutions see 3 + 6 · 2 pixels, and this one 2 more.
    assert convolution.receptive_field == (17, 17)
    assert layers["layer2.0.shortcut.0"].depth == 8
    assert layers["layer2.0.conv2"].depth == 9
    assert (layers["linear"].depth, layers["linear"].receptive_field) == (20, None)
    # 15 + 2 in the first convolution of the second stage, 5 · 4, 4, 5 · 8.
    assert layers["layer3.2.conv2"].receptive_field == (81, 81)


@pytest.mark.parametrize(
    ("model", "size", "depth", "parameters", "receptive_field"),
    [
        ("alexnet", 224, 8, 61_100_840, 163),
        ("vgg19", 224, 19, 143_667_240, 252),
        ("googlenet", 224, 22, 6_624_904, None),
        ("inception_v3", 299, 48, 23_834_568, 1311),  # 1311: distill.pub/2019/computing-receptive-fields
        ("densenet121", 224, 121, 7_978_856, None),
    ],
)
def test_networks_with_branches_and_functional_pooling(
    model: str, size: int, depth: int, parameters: int, receptive_field: int | None
) -> None:
    options = {"aux_logits": False, "init_weights": False} if model in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        network = torchvision.models.get_model(model, weights=None, **options)
    cost = count(network, (3, size, size))
    assert (cost.depth, cost.parameters) == (depth, parameters)
    assert sum(layer.multiply_adds for layer in cost.layers) == cost.multiply_adds
    # In 10⁹, as torchvision's own documentation has it.
    (weights, *_) = torchvision.models.get_model_weights(model)
    assert round(cost.multiply_adds / 1e9, 3) == weights.meta["_ops"]
    assert receptive_field in (None, cost.receptive_field)


class Branches(nn.Module):
    """Two ways of unlike width that join, with functional pooling, a dilated and an oblong convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.oblong = nn.Conv2d(1, 1, (1, 5), padding=(0, 2))
        self.dilated = nn.Conv2d(1, 1, 3, padding=2, dilation=2)
        self.last = nn.Conv2d(2, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(self.oblong(x), 3, stride=2, padding=1)
        return self.last(torch.cat([self.dilated(x), x[:, :, 0:, 0:]], dim=1)).mean((2, 3))


def test_receptive_fields_are_those_of_real_gradients() -> None:
    # With positive weights everywhere, the gradient of one position is positive just where it sees the image.
    for network, layer in ((Branches(), "last"), (build_network("resnet8-B", in_channels=1), "layer3.0.conv2")):
        for name, parameter in network.named_parameters():
            nn.init.constant_(parameter, 0.0 if "bias" in name else 1e-2)
        seen: list[Tensor] = []
        network.get_submodule(layer).register_forward_hook(
            lambda _module, _inputs, output, seen=seen: seen.append(output)
        )
        image = torch.rand(1, 1, 96, 96, requires_grad=True)
        network.eval()(image)
        maps = seen[0]
        maps[0, 0, maps.shape[2] // 2, maps.shape[3] // 2].backward()
        assert image.grad is not None
        rows, columns = (image.grad[0, 0].sum(dim).nonzero() for dim in (1, 0))
        extent = (int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1)
        field = {part.path: part.receptive_field for part in count(network, (1, 96, 96)).layers}[layer]
        assert field == extent


def test_behind_what_is_no_window_the_field_isn_t_known() -> None:
    shuffled = count(nn.Sequential(nn.Conv2d(3, 4, 3), nn.PixelShuffle(2), nn.Conv2d(1, 1, 3)), CIFAR)
    assert [layer.receptive_field for layer in shuffled.layers] == [(3, 3), None]
    assert shuffled.receptive_field is None


def test_enlarged_images_are_seen_in_their_own_pixels() -> None:
    # A doubled image: two convolutions see 5 of its pixels, half a pixel each, and what lies between.
    enlarged = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3))
    assert count(enlarged, CIFAR).receptive_field == 4


def test_counting_leaves_the_network_as_it_was() -> None:
    network = build_network("resnet8-A").eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    count(network, CIFAR)
    assert not network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_what_can_t_be_counted_is_named() -> None:
    with pytest.raises(ValueError, match="'resnet21-A': depth 21"):
        count_network("resnet21-A", CIFAR, 10)
