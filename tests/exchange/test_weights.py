"""Weights in the forms in which other projects publish them, and files that are not weights."""

import gzip
import os
import pickle
import re
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
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


def with_numpy_and_options(state: Style) -> Any:
    extras = {
        "acc": np.float64(93),
        "done": np.bool_(True),
        "confusion": np.zeros((2, 2)),
        "args": Namespace(lr=0.1),
        "path": Path(),
    }
    return {"net": state, **extras}


def as_lightning_and_compile_name_it(state: Style) -> Any:
    return {"model": {f"network._orig_mod.{name}": value for name, value in state.items()}}


def as_torchvision_names_it(state: Style) -> Any:
    return {name.replace("linear.", "fc.").replace("shortcut.", "downsample."): value for name, value in state.items()}


def with_an_auxiliary_head(state: Style) -> Any:
    return state | {"aux1.fc.weight": torch.zeros(3, 3)}


def without_counters(state: Style) -> Any:
    return {name: value for name, value in state.items() if "num_batches" not in name}


@pytest.mark.parametrize("suffix", [".pt", ".pth.tar", ".th", ".CKPT", ".safetensors"])
@pytest.mark.parametrize(
    "style",
    [
        plain,
        as_script_saves_it,
        with_numpy_and_options,
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


def test_tensors_that_don_t_fit_are_listed_and_none_is_loaded(trained: nn.Module, tmp_path: Path) -> None:
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
    with pytest.raises(ValueError, match=r"46 missing \(bn1.weight, bn1.bias, bn1.running_mean, bn1.running_var, …\)"):
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
    with pytest.raises(
        ValueError, match=r"evil.*: refused: (contains posix\.system, which could run code|damaged, or contains code)"
    ):
        load_weights(trained, path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"fc.weight": torch.zeros(10, 64)},
            "linear.weight and fc.weight are both linear.weight; remove one",
        ),
        ({"conv1.weight": torch.full((16, 3, 3, 3), torch.nan)}, r"1 tensors with NaN .* \(conv1.weight\)"),
        ({"bn1.running_var": torch.full((16,), torch.inf)}, r"1 tensors with NaN or infinite values \(bn1.running_var"),
        ({"bn1.bias": torch.full((16,), 1e300, dtype=torch.float64)}, r"infinite values \(bn1.bias\)"),
        ({"bn1.bias": torch.ones(16, dtype=torch.int8)}, r"1 tensors of another type \(bn1.bias int8, not float32\)"),
        ({"bn1.bias": torch.ones(16, dtype=torch.bool)}, "bn1.bias bool, not float32"),
        ({"bn1.bias": torch.ones(16, dtype=torch.cfloat)}, "bn1.bias complex64, not float32"),
        ({"bn1.num_batches_tracked": torch.tensor(1.5)}, "bn1.num_batches_tracked float32, not int64"),
        ({"bn1.bias": torch.ones(16).to_sparse()}, "bn1.bias is sparse; save it as a dense tensor"),
        ({"bn1.bias": torch.ones(16, device="meta")}, "bn1.bias is a meta tensor"),
        ({"bn1.bias": torch.zeros(1).expand(10**12)}, r"of another shape \(bn1.bias \(1000000000000,\), not \(16,\)\)"),
        ({"x" * 1000: torch.zeros(1)}, "1 unexpected \\(x{99}…\\)"),
        ({"epoch": 3}, "contains int under 'epoch'; use a state dict of names and tensors, also under"),
        ({"acc": np.float64(93)}, "contains IgnoredObject under 'acc'; use"),
        ({0: torch.zeros(1)}, "contains Tensor under 0; use"),
    ],
)
def test_tensors_that_would_load_wrongly_are_refused(
    trained: nn.Module, tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    other = {name: value + 1 for name, value in before.items()}
    torch.save(other | change, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=problem):
        load_weights(trained, tmp_path / "weights.pt")
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())


def test_half_precision_is_loaded_exactly(trained: nn.Module, tmp_path: Path) -> None:
    halves = {
        name: value.half() if value.is_floating_point() else value for name, value in trained.state_dict().items()
    }
    torch.save(halves, tmp_path / "weights.pt")
    load_weights(trained, tmp_path / "weights.pt")
    assert all(torch.equal(value, halves[name].to(value.dtype)) for name, value in trained.state_dict().items())


def test_several_state_dicts_are_refused(trained: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"state_dict": trained.state_dict(), "model": trained.state_dict()}, path)
    with pytest.raises(ValueError, match=r"contains several state dicts \(state_dict, model\); save one of them alone"):
        load_weights(trained, path)
    torch.save({"model": {"name": "resnet8"}, "state_dict": trained.state_dict()}, path)
    load_weights(trained, path)
    endless: dict[str, Any] = {}
    endless["model"] = endless
    torch.save(endless, path)
    with pytest.raises(ValueError, match="contains dict under 'model'; use"):
        load_weights(trained, path)


def compressed_archive(state: Style, path: Path) -> None:
    torch.save(state | {"zeros": torch.zeros(1000)}, path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def script(_: Style, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", b"")
        archive.writestr("net/constants.pkl", b"")


def other_archive(_: Style, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("arr_0.npy", b"")


def truncated(state: Style, path: Path) -> None:
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:10_000])


def truncated_safetensors(state: Style, path: Path) -> None:
    path.write_bytes(safetensors.torch.save(state)[:10_000])


@pytest.mark.parametrize(
    ("make", "answer"),
    [
        (b"", "the file is empty"),
        (b"hello world", "not a weights file; use a state dict"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer; run `git lfs pull`"),
        (b"\n<!DOCTYPE html>", "an HTML or XML page"),
        (gzip.compress(b"weights", mtime=0), "compressed with gzip; decompress it"),
        (b"\x80\x02hello", r"not a complete file of torch\.save|refused: damaged"),
        (b"PK\x03\x04hello", "not a complete file of torch.save"),
        (b"\xff" * 8 + b"{", "not a complete safetensors file"),
        (safetensors.torch.save({}), "contains no tensors"),
        (truncated, "not a complete file of torch.save"),
        (truncated_safetensors, "not a complete safetensors file"),
        (compressed_archive, "unpacks to more bytes than it has; save the weights again with torch.save"),
        (script, "a TorchScript archive; save its weights alone"),
        (other_archive, "an archive without weights of torch.save"),
        (lambda _, path: torch.save(torch.zeros(3), path), "contains Tensor, not a state dict"),
        (lambda _, path: torch.save({}, path), "contains no tensors"),
        (lambda _, path: path.mkdir(), "not a regular file; use the path of a weights file"),
        (lambda _, path: os.mkfifo(path), "not a regular file"),
    ],
)
def test_other_files_are_refused_by_what_they_are(trained: nn.Module, tmp_path: Path, make: Any, answer: str) -> None:
    path = tmp_path / "weights.pt"
    if isinstance(make, bytes):
        path.write_bytes(make)
    else:
        make(trained.state_dict(), path)
    with pytest.raises(ValueError, match=answer):
        load_weights(trained, path)


def test_a_missing_file(trained: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt"):
        load_weights(trained, tmp_path / "nowhere.pt")
