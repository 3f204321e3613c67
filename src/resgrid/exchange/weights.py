"""Weights from elsewhere: the state dicts of other projects into a network, or one clear answer why not."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from resgrid.data.reading.normalization import Normalization

SUFFIXES = (".pt", ".pth", ".th", ".safetensors")
# Under which keys training scripts put the state dict beside epoch, optimizer and so on.
WRAPPERS = ("state_dict", "model", "model_state_dict", "net")
# What wrappers put before every name: DataParallel and DDP, torch.compile, a LightningModule's attribute.
PREFIXES = ("module.", "_orig_mod.", "network.", "model.", "net.")
# Names of one and the same part in the well-known implementations.
SYNONYMS = (("linear", "fc"), ("shortcut", "downsample"))
# Auxiliary heads of GoogLeNet and Inception-v3 in torchvision's files: they serve training alone.
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
NAMES_IN_A_MESSAGE = 4


def load_weights(network: nn.Module, path: Path | str) -> None:
    """Put a file's weights into a network: all of them, or none and a `ValueError`.

    Understood are state dicts of plain tensors, also inside `{"state_dict": …}`, `{"model": …}` and the like, with
    prefixes such as `module.`, in the key style of torchvision's ResNets and of the usual CIFAR ResNets
    (`conv1, bn1, layer1.0.conv1, …, linear`), in which projections are called `shortcut` or `downsample` and the last
    layer `linear` or `fc`. Auxiliary heads that the network doesn't have are left out. Option A here pads half of the
    zero channels before and half after the old ones, as these do; for weights of a network that pads otherwise the
    keys fit, but not the function.

    Args:
        network: of the same form; it is changed in place, and keeps its mode and its device.
        path: a file `.pt`, `.pth`, `.th` or `.safetensors`. Nothing in it is ever run: files that hold more than plain
            tensors, numbers and texts are refused.

    Raises:
        OSError: the file can't be read.
        ValueError: it is no such file, or its keys or shapes aren't the network's; the message lists them.
    """
    path, expected = Path(path), network.state_dict()
    state = _rename(_without_prefix(read_state_dict(path), expected), expected)
    # Batch norm's counter of steps: older files don't have it, and inference doesn't use it.
    counters = {name: value for name, value in expected.items() if name.endswith("num_batches_tracked")}
    state = counters | {
        name: value for name, value in state.items() if name in expected or not name.startswith(AUXILIARY)
    }
    problems = [
        _listed("missing", [name for name in expected if name not in state]),
        _listed("unexpected", [name for name in state if name not in expected]),
        _listed(
            "of another shape",
            [
                f"{name} {tuple(state[name].shape)}, not {tuple(value.shape)}"
                for name, value in expected.items()
                if name in state and state[name].shape != value.shape
            ],
        ),
    ]
    if any(problems):
        raise ValueError(
            f"{path} doesn't fit {type(network).__name__}, which has {len(expected)} tensors: "
            + "; ".join(filter(None, problems))
        )
    network.load_state_dict(state)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by their names, on the CPU, as they stand there. Nothing in the file is run.

    Raises:
        OSError: it can't be read.
        ValueError: it isn't a whole file of plain tensors.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: weights are read from files named {', '.join(SUFFIXES)}, not {path.suffix!r}")
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load(path.read_bytes())
        except safetensors.SafetensorError as error:
            raise ValueError(f"{path} is no whole safetensors file: {error}") from None
    content = _load_plain(path)
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path} holds {type(content).__name__}, not a state dict of names and tensors")
    for name, value in content.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"{path} holds {type(value).__name__} under {name!r}, not a tensor; allowed is a state dict, also "
                f"under {', '.join(WRAPPERS)}"
            )
    return dict(content)


def read_header(path: Path) -> dict[str, str]:
    """What a safetensors file says about itself; nothing for other files."""
    if path.suffix != ".safetensors":
        return {}
    with safetensors.safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def read_normalization_header(path: Path) -> Normalization | None:
    """Read the normalization that a weights file states, if it does.

    Raises:
        ValueError: the header is damaged.
    """
    header = read_header(path)
    # Earlier versions of resgrid wrote the British spelling.
    stated = header.get("normalization", header.get("normalisation"))
    return None if stated is None else Normalization.from_header(stated, path)


def _load_plain(path: Path) -> object:
    with path.open("rb") as file, warnings.catch_warnings():
        # Of unusual files, such as TorchScript archives and new pickle protocols: the answer below says enough.
        warnings.simplefilter("ignore")
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            named = re.search(r"GLOBAL (\S+)", str(error))
            beyond = f" ({named[1]})" if named else ""
            raise ValueError(
                f"{path} is refused: it is damaged, or holds more than plain tensors, numbers and texts{beyond}, and "
                "reading that could run any code that its maker put there. If you trust it, save its tensors alone "
                "where it was made: safetensors.torch.save_file(network.state_dict(), 'weights.safetensors')"
            ) from None
        except Exception as error:  # the restricted reader meets arbitrary bytes: it may stumble over anything
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ValueError(f"{path} is no whole file of torch.save: {reason[:200]}") from None


def _without_prefix(state: Mapping[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """Take off what stands before every name, unless the network's names begin so too."""
    state = dict(state)
    found = True
    while found:
        found = False
        for prefix in PREFIXES:
            if all(name.startswith(prefix) for name in state) and not all(name.startswith(prefix) for name in expected):
                state = {name.removeprefix(prefix): value for name, value in state.items()}
                found = True
    return state


def _rename(state: Mapping[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """Give the tensors the network's names, where these differ by a synonym."""
    return {_network_s_name(name, expected): value for name, value in state.items()}


def _network_s_name(name: str, expected: Collection[str]) -> str:
    if name in expected:
        return name
    parts = name.split(".")
    candidates = [
        ".".join(new if part == old else part for part in parts) for pair in SYNONYMS for old, new in (pair, pair[::-1])
    ]
    # DenseNet's files on torchvision's server are older than its names (torchvision/models/densenet.py).
    candidates.append(re.sub(r"\b(norm|conv)\.([12])\b", r"\1\2", name))
    return next((candidate for candidate in candidates if candidate in expected), name)


def _listed(what: str, names: list[str]) -> str:
    """`3 missing (a, b, c)`; of many, the first ones."""
    if not names:
        return ""
    more = ", …" if len(names) > NAMES_IN_A_MESSAGE else ""
    return f"{len(names)} {what} ({', '.join(names[:NAMES_IN_A_MESSAGE])}{more})"
