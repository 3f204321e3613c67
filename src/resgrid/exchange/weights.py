"""Loads weights of other projects into networks: all of a file's weights, or none and an error."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from resgrid.exchange.weights_file import WeightsFile, read_weights_file, shortened

# Prefixes of all names, by DataParallel and DDP, by torch.compile, and by attributes of a LightningModule.
PREFIXES = ("module.", "_orig_mod.", "network.", "model.", "net.")
# Names of the same module in well-known implementations.
SYNONYMS = (("linear", "fc"), ("shortcut", "downsample"))
# Auxiliary heads of GoogLeNet and Inception-v3 in torchvision's files, which only training needs.
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
NAMES_IN_A_MESSAGE = 4


def load_weights(network: nn.Module, file: WeightsFile | Path | str) -> None:
    """Load a file's weights into a network.

    The file contains a state dict of dense tensors, possibly in `{"state_dict": …}`, `{"model": …}` and the like. Names
    may have prefixes such as `module.`, and are those of torchvision's ResNets or of the usual CIFAR ResNets
    (`conv1, bn1, layer1.0.conv1, …, linear`), whose projections are named `shortcut` or `downsample` and whose last
    layer is named `linear` or `fc`. Auxiliary heads that the network doesn't have are ignored.

    Networks that compute different functions can have equal tensors. An example is option A with other positions of the
    zero channels (`resgrid.models.blocks.ZeroPadShortcut` describes them here).

    Args:
        network: changed in place; it keeps its mode and its device.
        file: a weights file; no code in it is run.

    Raises:
        OSError: the file can't be read.
        ValueError: the file contains something else, or its names, shapes, types or values don't fit; the message lists
            them, and the network is not changed.
    """
    if not isinstance(file, WeightsFile):
        file = read_weights_file(Path(file))
    expected = network.state_dict()
    tensors = _renamed(file.path, _without_prefix(file.tensors, expected), expected)
    # Older files lack batch norm's step counters, which inference doesn't use.
    counters = {name: value for name, value in expected.items() if name.endswith("num_batches_tracked")}
    tensors = counters | {
        name: value for name, value in tensors.items() if name in expected or not name.startswith(AUXILIARY)
    }
    _check_names_and_shapes(file.path, tensors, expected, type(network).__name__)
    _check_types(file.path, tensors, expected)
    converted = {name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()}
    wrong = [name for name, tensor in converted.items() if not tensor.isfinite().all()]
    if wrong:
        raise ValueError(f"{file.path}: {_listed('tensors with NaN or infinite values', wrong)}; use other weights")
    network.load_state_dict(converted)


def _check_names_and_shapes(
    path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], network: str
) -> None:
    problems = [
        _listed("missing", [name for name in expected if name not in tensors]),
        _listed("unexpected", [name for name in tensors if name not in expected]),
        _listed(
            "of another shape",
            [
                f"{name} {tuple(tensors[name].shape)}, not {tuple(value.shape)}"
                for name, value in expected.items()
                if name in tensors and tensors[name].shape != value.shape
            ],
        ),
    ]
    if any(problems):
        raise ValueError(
            f"{path}: doesn't fit {network}, which has {len(expected)} tensors: {'; '.join(filter(None, problems))}; "
            "use the network that the weights are of"
        )


def _check_types(path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Refuse tensors whose values would mean something else after a conversion, such as quantized integers."""
    wrong = [
        f"{name} {_type_name(tensor)}, not {_type_name(expected[name])}"
        for name, tensor in tensors.items()
        if _type_category(tensor) != _type_category(expected[name])
    ]
    if wrong:
        raise ValueError(f"{path}: {_listed('tensors of another type', wrong)}; convert them where they were saved")


def _type_category(tensor: Tensor) -> str:
    if tensor.is_floating_point():
        return "floating"
    return "complex" if tensor.is_complex() else "bool" if tensor.dtype == torch.bool else "integer"


def _type_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _without_prefix(tensors: Mapping[str, Tensor], expected: Collection[str]) -> Mapping[str, Tensor]:
    """Remove prefixes that all names have, unless the network's names have them too."""
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors) and not all(name.startswith(prefix) for name in expected):
            return _without_prefix({name.removeprefix(prefix): value for name, value in tensors.items()}, expected)
    return tensors


def _renamed(path: Path, tensors: Mapping[str, Tensor], expected: Collection[str]) -> dict[str, Tensor]:
    """Give tensors the network's names, where these differ by a synonym."""
    origins: dict[str, str] = {}
    for name in tensors:
        ours = _our_name(name, expected)
        if ours in origins:
            raise ValueError(f"{path}: {origins[ours]} and {shortened(name)} are both {ours}; remove one of the two")
        origins[ours] = name
    return {ours: tensors[name] for ours, name in origins.items()}


def _our_name(name: str, expected: Collection[str]) -> str:
    if name in expected:
        return name
    parts = name.split(".")
    candidates = [
        ".".join(new if part == old else part for part in parts) for pair in SYNONYMS for old, new in (pair, pair[::-1])
    ]
    # torchvision's files of DenseNets are older than its names (torchvision/models/densenet.py).
    candidates.append(re.sub(r"\b(norm|conv)\.([12])\b", r"\1\2", name))
    return next((candidate for candidate in candidates if candidate in expected), name)


def _listed(what: str, names: list[str]) -> str:
    """Count and list names: `3 missing (a, b, c)`; only the first of many."""
    if not names:
        return ""
    more = ", …" if len(names) > NAMES_IN_A_MESSAGE else ""
    return f"{len(names)} {what} ({', '.join(map(shortened, names[:NAMES_IN_A_MESSAGE]))}{more})"
