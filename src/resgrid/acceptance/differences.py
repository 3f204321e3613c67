"""Comparisons of replayed states and files with results: the first difference, and its size."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import numpy as np
import safetensors.torch

from resgrid.training.trace import StateDigest


class DifferenceFound(Exception):
    """A replay differs from the results; the message says where, and by how much."""


def compare_states(step: int, replayed: StateDigest, recorded: StateDigest) -> None:
    """Compare the digests of all tensors after a step.

    Raises:
        DifferenceFound: a tensor differs; the first one is named.
    """
    for name in dict.fromkeys([*recorded, *replayed]):
        ours, theirs = replayed.get(name), recorded.get(name)
        if ours is None or theirs is None:
            raise DifferenceFound(f"step {step}: {name}: exists only in the {'results' if ours is None else 'replay'}")
        if ours.sha256 != theirs.sha256:
            others = sum(replayed.get(each) != recorded[each] for each in recorded) - 1
            more = f" ({others} of {len(recorded) - 1} other tensors differ too)" if others else ""
            raise DifferenceFound(f"step {step}: {name}: its norm is {_change(ours.norm, theirs.norm)}{more}")


def compare_rows(name: str, replayed: bytes, recorded: bytes) -> None:
    """Compare the rows that a replay wrote with a table's rows of the same steps.

    Raises:
        DifferenceFound: a row is not in the table.
    """
    rows = set(recorded.splitlines())
    for row in replayed.splitlines():
        if row not in rows:
            step = row.partition(b",")[0].decode()
            raise DifferenceFound(f"step {step}: {name}: the replay's row {row.decode()!r} is not in the results")


def compare_files(name: str, replayed: bytes, recorded: bytes) -> None:
    """Compare two versions of an output.

    Raises:
        DifferenceFound: they differ; the first difference is named.
    """
    if replayed != recorded:
        raise DifferenceFound(f"{name}: {_first_difference(name, replayed, recorded)}")


def _first_difference(name: str, replayed: bytes, recorded: bytes) -> str:
    if name.endswith(".json"):
        return _differing_field(json.loads(replayed), json.loads(recorded))
    if name.endswith(".safetensors"):
        ours, theirs = safetensors.torch.load(replayed), safetensors.torch.load(recorded)
        return _differing_array({k: v.numpy() for k, v in ours.items()}, {k: v.numpy() for k, v in theirs.items()})
    if name.endswith(".npy"):
        return _differing_array({"values": np.load(io.BytesIO(replayed))}, {"values": np.load(io.BytesIO(recorded))})
    if name.endswith(".csv"):
        pairs = zip(replayed.splitlines(), recorded.splitlines(), strict=False)
        for number, (ours, theirs) in enumerate(pairs, start=1):
            if ours != theirs:
                return f"line {number}: {ours.decode()!r} instead of {theirs.decode()!r}"
    length = min(len(replayed), len(recorded))
    offset = next((at for at in range(length) if replayed[at] != recorded[at]), length)
    return f"byte {offset} of {len(recorded):,}"


def _differing_field(replayed: Mapping[str, object], recorded: Mapping[str, object]) -> str:
    for field in [*recorded, *replayed]:
        if (ours := replayed.get(field)) != (theirs := recorded.get(field)):
            return f"{field}: {ours} instead of {theirs}"
    return "written in another form"


def _differing_array(replayed: Mapping[str, np.ndarray], recorded: Mapping[str, np.ndarray]) -> str:
    for name in [*recorded, *replayed]:
        ours, theirs = replayed.get(name), recorded.get(name)
        if ours is None or theirs is None or ours.shape != theirs.shape:
            return f"{name}: exists with this shape in one only"
        if (different := ours != theirs).any():
            largest = np.abs(ours - theirs).max()
            return f"{name}: {different.sum():,} of {different.size:,} values differ, by up to {largest:.3g}"
    return "written in another form"


def _change(ours: float, theirs: float) -> str:
    if ours == theirs:
        return f"{ours!r} in both, but the bits differ"
    relative = abs(ours - theirs) / abs(theirs) if theirs else float("inf")
    return f"{ours!r} instead of {theirs!r} (relative difference {relative:.1e})"
