"""Weights in the forms in which other projects publish them, and files that are none."""

import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from resgrid.exchange.weights import load_weights
from resgrid.models import build_network

Style = dict[str, torch.Tensor]


@pytest.fixture
def trained() -> nn.Module:
    torch.manual_seed(1)
    network = build_network("resnet8-B")
    network(torch.randn(4, 3, 16, 16))  # batch norm's statistics are weights as well
    return network.eval()


def logits(network: nn.Module) -> torch.Tensor:
    torch.manual_seed(2)
    return network.eval()(torch.randn(3, 3, 16, 16))


def plain(state: Style) -> Any:
    return state


def as_script_saves_it(state: Style) -> Any:
    return {"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3, "best_prec1": 8.2}


def as_lightning_and_compile_name_it(state: Style) -> Any:
    return {"model": {f"network._orig_mod.{name}": value for name, value in state.items()}}


def as_torchvision_names_it(state: Style) -> Any:
    return {name.replace("linear.", "fc.").replace("shortcut.", "downsample."): value for name, value in state.items()}


def with_an_auxiliary_head(state: Style) -> Any:
    return state | {"aux1.fc.weight": torch.zeros(3, 3)}


def without_counters(state: Style) -> Any:
    return {name: value for name, value in state.items() if "num_batches" not in name}


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".safetensors"])
@pytest.mark.parametrize(
    "style",
    [
        plain,
        as_script_saves_it,
        as_lightning_and_compile_name_it,
        as_torchvision_names_it,
        with_an_auxiliary_head,
        without_counters,
    ],
)
def test_the_network_computes_what_it_did(trained: nn.Module, tmp_path: Path, suffix: str, style: Any) -> None:
    path, content = tmp_path / f"weights{suffix}", style(trained.state_dict())
    if suffix == ".safetensors":
        nested = next((value for value in content.values() if isinstance(value, dict)), content)
        safetensors.torch.save_file(nested, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=suffix != ".th")
    network = build_network("resnet8-B")
    load_weights(network, path)
    assert torch.equal(logits(network), logits(trained))


def test_usual_cifar_resnets_fit_by_name(tmp_path: Path) -> None:
    """The keys of the well-known ResNet-20 for CIFAR-10 with option A, written out."""
    names = ["conv1.weight", "linear.weight", "linear.bias"]
    norms = ["bn1"]
    for stage in (1, 2, 3):
        for block in (0, 1, 2):
            names += [f"layer{stage}.{block}.conv{number}.weight" for number in (1, 2)]
            norms += [f"layer{stage}.{block}.bn{number}" for number in (1, 2)]
    names += [f"{norm}.{part}" for norm in norms for part in ("weight", "bias", "running_mean", "running_var")]
    network = build_network("resnet20-A")
    expected = network.state_dict()
    torch.save(
        {"state_dict": {f"module.{name}": torch.full_like(expected[name], 0.5) for name in names}}, tmp_path / "a.th"
    )
    load_weights(network, tmp_path / "a.th")
    loaded = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    assert set(loaded) == set(names)
    assert all((value == 0.5).all() for value in loaded.values())


@pytest.mark.parametrize(
    ("model", "name"), [("resnet18", "resnet18-imagenet-B"), ("resnet50", "resnet50-imagenet-B-stride3x3")]
)
def test_torchvision_s_resnets_compute_the_same_in_our_family(tmp_path: Path, model: str, name: str) -> None:
    theirs = torchvision.models.get_model(model, weights=None, num_classes=7)
    theirs(torch.randn(2, 3, 64, 64))
    torch.save(theirs.state_dict(), tmp_path / "resnet.pth")
    ours = build_network(name, num_classes=7)
    load_weights(ours, tmp_path / "resnet.pth")
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images), rtol=0, atol=1e-5)


def test_older_densenet_files_fit_torchvision_s_network(tmp_path: Path) -> None:
    network = torchvision.models.densenet121(num_classes=2)
    old = {
        re.sub(r"(denselayer\d+\.)(norm|conv)([12])", r"\1\2.\3", name): value
        for name, value in network.state_dict().items()
    }
    assert old.keys() != network.state_dict().keys()
    torch.save(old, tmp_path / "densenet.pth")
    load_weights(torchvision.models.densenet121(num_classes=2), tmp_path / "densenet.pth")


def test_what_doesn_t_fit_is_listed_and_nothing_is_loaded(trained: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "deeper.pt"
    torch.save(build_network("resnet14-B", num_classes=100).state_dict(), path)
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    with pytest.raises(ValueError, match=r"doesn't fit \w+, which has \d+ tensors: 36 unexpected") as raised:
        load_weights(trained, path)
    assert "(layer1.1.conv1.weight, layer1.1.bn1.weight, layer1.1.bn1.bias, layer1.1.bn1.running_mean, …)" in str(
        raised.value
    )
    assert "2 of another shape (linear.weight (100, 64), not (10, 64), linear.bias (100,), not (10,))" in str(
        raised.value
    )
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
    torch.save({"conv1.weight": trained.state_dict()["conv1.weight"]}, path)
    with pytest.raises(ValueError, match=r"46 missing \(bn1.weight, bn1.bias, bn1.running_mean, bn1.running_var, …\)$"):
        load_weights(trained, path)


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("suffix", [".pt", ".th"])
def test_a_malicious_pickle_is_refused_and_not_run(trained: nn.Module, tmp_path: Path, suffix: str) -> None:
    path, mark = tmp_path / f"evil{suffix}", tmp_path / "mark"
    if suffix == ".pt":
        torch.save({"state_dict": trained.state_dict(), "extra": Malicious(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Malicious(mark)))
    with pytest.raises(ValueError, match=r"evil.* is refused: it is damaged, or holds more than plain tensors"):
        load_weights(trained, path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("name", "content", "answer"),
    [
        ("weights.ckpt", b"", r"files named \.pt, \.pth, \.th, \.safetensors, not '\.ckpt'"),
        ("weights.pt", b"", "is no whole file of torch.save: "),
        ("weights.pt", b"hello world", "is no whole file of torch.save: "),
        ("weights.safetensors", b"hello world", "is no whole safetensors file: "),
    ],
)
def test_files_that_are_no_weights(trained: nn.Module, tmp_path: Path, name: str, content: bytes, answer: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=answer):
        load_weights(trained, tmp_path / name)


def test_a_torn_file_and_other_contents(trained: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(trained.state_dict(), path)
    path.write_bytes(path.read_bytes()[:10_000])
    with pytest.raises(ValueError, match="is no whole file"):
        load_weights(trained, path)
    torch.save(torch.zeros(3), path)
    with pytest.raises(ValueError, match="holds Tensor, not a state dict"):
        load_weights(trained, path)
    torch.save({"conv1": 3}, path)
    with pytest.raises(ValueError, match="holds int under 'conv1', not a tensor"):
        load_weights(trained, path)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt"):
        load_weights(trained, tmp_path / "nowhere.pt")
