"""The own ImageNet family against torchvision's weights, and torchvision's networks on small and gray images."""

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from resgrid.models import build_network
from resgrid.models.families.alexnet import ResponseNorm
from resgrid.models.small_images import FixedSizeAvgPool2d


@pytest.mark.parametrize(
    ("name", "builder"),
    [
        ("resnet18-imagenet-B", "resnet18"),
        ("resnet34-imagenet-B", "resnet34"),
        ("resnet50-imagenet-B-stride3x3", "resnet50"),
        pytest.param("resnet101-imagenet-B-stride3x3", "resnet101", marks=pytest.mark.slow),
        pytest.param("resnet152-imagenet-B-stride3x3", "resnet152", marks=pytest.mark.slow),
    ],
)
def test_torchvision_s_weights_give_torchvision_s_logits(name: str, builder: str) -> None:
    theirs = torchvision.models.get_model(builder, weights=None).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            # Scales below 1 keep the sums of many blocks within bounds.
            nn.init.uniform_(module.weight, 0.1, 0.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    with torch.device("meta"):  # the weights come from elsewhere
        ours = build_network(name, num_classes=1000).eval()
    ours.load_state_dict(theirs.state_dict(), assign=True)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = theirs(images)
        assert expected.std() > 0.01
        assert (ours(images) - expected).abs().max() < 1e-5


def test_the_paper_s_bottleneck_is_another_network_than_torchvision_s() -> None:
    torch.manual_seed(0)
    ours = build_network("resnet50-imagenet-B").eval()
    torch.manual_seed(0)
    theirs = build_network("resnet50-imagenet-B-stride3x3").eval()
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert (ours(images) - theirs(images)).abs().max() > 0.01


@pytest.mark.parametrize(
    "builder", ["squeezenet1_1", "googlenet", "resnet18", pytest.param("inception_v3", marks=pytest.mark.slow)]
)
def test_torchvision_s_networks_take_small_gray_images_and_any_number_of_classes(builder: str) -> None:
    network = build_network(f"torchvision-{builder}", num_classes=7, in_channels=1)
    options = {"init_weights": False} if builder in ("googlenet", "inception_v3") else {}  # else they warn
    theirs = torchvision.models.get_model(builder, weights=None, **options).state_dict()
    assert list(network.state_dict()) == [name for name in theirs if not name.startswith(("aux", "AuxLogits"))]
    for size in (8, 28):
        assert network.train()(torch.randn(2, 1, size, size)).shape == (2, 7)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["torchvision-vgg16_bn", "torchvision-vgg11", "torchvision-alexnet", "torchvision-densenet121", "alexnet"]
)
def test_networks_for_large_images_take_small_ones(name: str) -> None:
    network = build_network(name, in_channels=1).eval()
    with torch.inference_mode():
        assert network(torch.randn(1, 1, 28, 28)).shape == (1, 10)
        assert network(torch.randn(1, 1, 28, 40)).shape == (1, 10)


def test_the_smaller_side_is_enlarged_to_torchvision_s_minimum_and_larger_images_stay() -> None:
    network = build_network("torchvision-squeezenet1_1")  # 17 pixels
    seen: list[torch.Size] = []
    network.get_submodule("features").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    for height, width in ((8, 8), (16, 24), (17, 17), (40, 30)):
        network.eval()(torch.zeros(1, 3, height, width))
    assert [tuple(shape[-2:]) for shape in seen] == [(17, 17), (17, 25), (17, 17), (40, 30)]


@pytest.mark.parametrize("builder", ["vit_b_32", "maxvit_t"])
def test_networks_for_one_size_refuse_others(builder: str) -> None:
    with torch.device("meta"):
        network = build_network(f"torchvision-{builder}").eval()
        for size in ((8, 8), (224, 224)):
            assert network(torch.zeros(1, 3, *size)).shape == (1, 10)
        for size, enlarged in (((256, 256), "256×256"), ((28, 40), "224×320"), ((224, 225), "224×225")):
            with pytest.raises(ValueError, match=f"^'torchvision-{builder}': images of {enlarged} pixels"):
                network(torch.zeros(1, 3, *size))


def test_a_network_for_gray_images_begins_as_the_one_for_color_on_three_equal_channels() -> None:
    torch.manual_seed(0)
    color = build_network("torchvision-resnet18").eval()
    torch.manual_seed(0)
    gray = build_network("torchvision-resnet18", in_channels=1).eval()
    images = torch.randn(2, 1, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(gray(images), color(images.expand(-1, 3, -1, -1)), atol=1e-4)


def test_an_unknown_builder_is_refused_with_the_names_that_are_close() -> None:
    with pytest.raises(ValueError, match=r"no classification network 'vgg17_bn'; use one of those .*vgg1[69]_bn"):
        build_network("torchvision-vgg17_bn")
    with pytest.raises(ValueError, match="no classification network 'raft_large'"):
        build_network("torchvision-raft_large")


@pytest.mark.parametrize(("size", "output_size"), [((1, 1), 6), ((8, 8), 6), ((7, 7), 7), ((9, 14), 7), ((3, 5), 1)])
def test_pooling_to_a_fixed_size_is_torch_s(size: tuple[int, int], output_size: int) -> None:
    x = torch.randn(2, 3, *size)
    pooled = FixedSizeAvgPool2d(output_size)(x)
    assert torch.allclose(pooled, F.adaptive_avg_pool2d(x, output_size), atol=1e-6)


def test_alexnet_normalizes_by_the_published_formula() -> None:
    x = torch.arange(1.0, 8.0).reshape(1, 7, 1, 1)
    neighbors = sum(value**2 for value in (2, 3, 4, 5, 6))  # of the fourth of seven channels
    assert ResponseNorm()(x)[0, 3].item() == pytest.approx(4 / (2 + 1e-4 * neighbors) ** 0.75)
    x = 100 * torch.randn(2, 7, 3, 3)
    assert torch.allclose(ResponseNorm()(x), nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)(x))
