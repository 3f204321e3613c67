"""Weights files with random damage: they are loaded whole, or refused in one sentence, and never change silently."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from resgrid.exchange.weights_file import read_weights_file
from support.random_inputs import seeds, with_damage

STATE = {
    "conv1.weight": torch.arange(108.0).reshape(4, 3, 3, 3),
    "bn1.running_var": torch.ones(4),
    "bn1.num_batches_tracked": torch.tensor(7),
}


def saved(state: dict[str, Tensor], **options: bool) -> bytes:
    content = io.BytesIO()
    torch.save(state, content, **options)
    return content.getvalue()


FORMATS: dict[str, Callable[[], bytes]] = {
    "zip": lambda: saved(STATE),
    "pickle": lambda: saved(STATE, _use_new_zipfile_serialization=False),
    "safetensors": lambda: safetensors.torch.save(STATE, {"network": "resnet8-A"}),
}


@seeds(some=150, thousands=5000)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_with_random_damage_is_read_or_refused(tmp_path: Path, kind: str, seeds: range) -> None:
    whole, path = FORMATS[kind](), tmp_path / "weights"
    for seed in seeds:
        path.write_bytes(with_damage(whole, seed))
        try:
            tensors = read_weights_file(path).tensors
        except ValueError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017 (either is right)
            continue
        assert all(isinstance(tensor, Tensor) and tensor.layout == torch.strided for tensor in tensors.values())
        # The other formats have no checksums over numbers.
        assert kind != "zip" or all(torch.equal(tensors[name], STATE[name]) for name in tensors.keys() & STATE.keys())


def test_a_tensor_with_the_wrong_checksum_is_refused(tmp_path: Path) -> None:
    content = bytearray(saved(STATE))
    at = content.index(STATE["conv1.weight"].numpy().tobytes())
    content[at + 100] ^= 1
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"weights.pt: .* \(Bad CRC-32 for file 'archive/data/0'\); copy or"):
        read_weights_file(tmp_path / "weights.pt")


def test_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(compute_crc32=False)
    try:
        torch.save(STATE, tmp_path / "weights.pt")
    finally:
        torch.serialization.set_crc32_options(compute_crc32=True)
    assert read_weights_file(tmp_path / "weights.pt").tensors.keys() == STATE.keys()
