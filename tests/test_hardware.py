"""Devices, precision, memory and process-wide settings, on machines with and without GPUs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
import torch

from resgrid.config.machine import PROMISED_GPUS
from resgrid.config.train import TrainConfig
from resgrid.data.reading.device_images import DeviceImages
from resgrid.hardware import (
    check_memory,
    choose_accelerator,
    choose_device,
    choose_precision,
    count_devices,
    count_gpus,
    describe_device,
    exact_fp32,
    explain_exhausted_memory,
)


def test_deterministic_algorithms_cost_no_import_of_the_compiler() -> None:
    program = (
        "import sys, torch\n"
        "from resgrid.hardware import compute_exactly\n"
        "compute_exactly(threads=1)\n"
        "assert torch.get_num_threads() == 1\n"
        "assert not torch.backends.cudnn.allow_tf32\n"
        "assert torch.are_deterministic_algorithms_enabled()\n"
        "assert not torch.is_deterministic_algorithms_warn_only_enabled()\n"
        "assert 'torch._inductor' not in sys.modules\n"
        "compute_exactly(threads=1, deterministic=False)\n"
        "assert not torch.are_deterministic_algorithms_enabled()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(("amx", "expected"), [(True, "bf16"), (False, "32")])
def test_auto_is_bf16_on_a_cpu_with_amx_only(
    amx: bool, expected: Literal["32", "bf16"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)  # alone, bf16 is slower than fp32
    assert choose_precision("auto") == expected
    assert choose_precision("32") == "32"
    assert choose_precision("bf16") == "bf16"


class Gpus:
    """GPUs that torch reports, without any on the machine.

    Args:
        capabilities: compute capability of each GPU.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capabilities: Sequence[tuple[int, int]]) -> None:
        self.free, self.total = 8 * 10**9, 10 * 10**9
        self.properties = SimpleNamespace(name="GPU A", multi_processor_count=108)
        for name, function in {
            "is_available": lambda: bool(capabilities),
            "device_count": lambda: len(capabilities),
            "get_device_capability": lambda device=0: capabilities[device],
            "get_device_properties": lambda _device=None: self.properties,
            "mem_get_info": lambda _device=None: (self.free, self.total),
        }.items():
            monkeypatch.setattr(torch.cuda, name, function)


def config_with(devices: int | Literal["auto"]) -> TrainConfig:
    return TrainConfig(max_steps=1, batch_size=2520, val_every=1, precision="32", devices=devices, threads=1)


@pytest.mark.parametrize("gpus", range(9))
def test_each_gpu_gets_a_process_and_a_cpu_gets_one(gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    Gpus(monkeypatch, [(8, 0)] * gpus)
    assert count_gpus() == gpus
    assert choose_accelerator() == ("gpu" if gpus else "cpu")
    assert choose_device().type == ("cuda" if gpus else "cpu")
    assert count_devices(config_with("auto")) == max(gpus, 1)
    assert count_devices(config_with(max(gpus, 1))) == max(gpus, 1)
    if gpus:
        with pytest.raises(ValueError, match=f"^train.devices: {gpus + 1}: this machine has {gpus} GPUs; use auto"):
            count_devices(config_with(gpus + 1))


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ([(7, 5)], "32"),
        ([(8, 0)], "bf16"),
        ([(9, 0)], "bf16"),
        ([(12, 0)] * 8, "bf16"),
        ([(8, 9), (7, 0)], "32"),  # the ranks must agree
        ([(7, 5), (10, 0)], "32"),
    ],
)
def test_auto_is_bf16_where_all_gpus_are_from_ampere_on(
    capabilities: list[tuple[int, int]], expected: Literal["32", "bf16"], monkeypatch: pytest.MonkeyPatch
) -> None:
    Gpus(monkeypatch, capabilities)
    assert choose_precision("auto") == expected


@pytest.mark.parametrize(("promised", "gpus"), [("0.25", 0), ("1.0", 0), ("2.0", 1)])
def test_a_promised_gpu_that_is_missing_is_an_error(promised: str, gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROMISED_GPUS, promised)
    Gpus(monkeypatch, [(8, 0)] * 2)
    assert choose_accelerator() == "gpu"
    Gpus(monkeypatch, [(8, 0)] * gpus)
    message = f"^RESGRID_GPUS: {promised}: torch can use {gpus} GPUs here; update this machine's GPU driver, or set"
    for choose in (choose_accelerator, choose_device, lambda: count_devices(config_with("auto"))):
        with pytest.raises(ValueError, match=message):
            choose()


def test_no_promise_leaves_the_choice_to_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROMISED_GPUS, "0")
    Gpus(monkeypatch, [])
    assert choose_accelerator() == "cpu"


def test_another_gpu_driver_or_cudnn_is_another_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Gpus(monkeypatch, [])
    assert describe_device() == {"device": "cpu"}
    gpus = Gpus(monkeypatch, [(8, 0)])
    driver = tmp_path / "version"
    monkeypatch.setattr("resgrid.hardware._DRIVER", driver)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    assert describe_device() == {
        "device": "GPU A",
        "multiprocessors": "108",
        "cuDNN": "91002",
        "GPU driver": "unknown",
    }
    driver.write_text("NVRM version: 580.65.06\nGCC version: 13\n")
    gpus.properties.multi_processor_count = 14  # a part of the same GPU
    assert describe_device()["GPU driver"] == "NVRM version: 580.65.06"
    assert describe_device()["multiprocessors"] == "14"


def test_data_must_fit_into_free_memory_and_the_share_of_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = Gpus(monkeypatch, [(8, 0)])
    gpu = torch.device("cuda", 0)
    check_memory(8 * 10**9, gpu)
    with pytest.raises(ValueError, match=r"^GPU memory: 9.0 GB of data: .* of which 8.0 GB are free; give cells"):
        check_memory(9 * 10**9, gpu)
    monkeypatch.setenv(PROMISED_GPUS, "0.25")
    check_memory(2 * 10**9, gpu)
    with pytest.raises(ValueError, match=r"3.0 GB of data: don't fit into 2.5 GB, this cell's share of 10.0 GB"):
        check_memory(3 * 10**9, gpu)
    gpus.free = 10**9  # other cells came first
    with pytest.raises(ValueError, match=r"2.0 GB of data: .* of which 1.0 GB are free"):
        check_memory(2 * 10**9, gpu)
    check_memory(9 * 10**9, torch.device("cpu"))


def test_images_are_checked_before_they_are_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    Gpus(monkeypatch, [(8, 0)]).free = 100
    images = DeviceImages(np.zeros((2, 3, 8, 8), np.uint8), np.zeros(2, np.int64), np.zeros((3, 1, 1)), None)
    with pytest.raises(ValueError, match=r"^GPU memory: 0.0 GB of data: don't fit"):
        images.to(torch.device("cuda", 0))


def test_exhausted_memory_is_explained() -> None:
    message = r"^GPU memory: CUDA out of memory; lower the batch size, or give cells"
    with pytest.raises(ValueError, match=message), explain_exhausted_memory():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has …")


def test_fp32_is_fp32_even_where_the_environment_allows_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    torch.set_float32_matmul_precision("high")
    try:
        exact_fp32()
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.set_float32_matmul_precision("highest")
