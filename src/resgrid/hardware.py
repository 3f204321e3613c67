"""The machine's devices, their memory and fastest precision, and process-wide settings for exact results."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch

from resgrid.config.machine import PROMISED_GPUS
from resgrid.config.train import TrainConfig

Precision = Literal["32", "bf16"]

_DRIVER = Path("/proc/driver/nvidia/version")


def count_gpus() -> int:
    """Return the number of GPUs that torch can use.

    Raises:
        ValueError: the sweep has promised more GPUs to this cell, which must not compute on the CPU instead.
    """
    usable = torch.cuda.device_count() if torch.cuda.is_available() else 0
    promised = os.environ.get(PROMISED_GPUS, "0")
    if usable < float(promised):
        raise ValueError(
            f"{PROMISED_GPUS}: {promised}: torch can use {usable} GPUs here; update this machine's GPU driver, or set "
            "sweep.resources.gpus to 0"
        )
    return usable


def choose_accelerator() -> Literal["gpu", "cpu"]:
    """Return Lightning's name of the devices to use; see `count_gpus`."""
    return "gpu" if count_gpus() else "cpu"


def choose_device() -> torch.device:
    """Return the device of a computation on a single device; see `count_gpus`."""
    return torch.device("cuda" if count_gpus() else "cpu")


def count_devices(config: TrainConfig) -> int:
    """Return the number of processes on each node: one per GPU, or the requested number of CPU processes.

    Raises:
        ValueError: the parameters request more GPUs than this machine has, or `count_gpus` raises.
    """
    gpus = count_gpus()
    if config.devices == "auto":
        return max(gpus, 1)
    if gpus and config.devices > gpus:
        raise ValueError(f"train.devices: {config.devices}: this machine has {gpus} GPUs; use auto, or 1 to {gpus}")
    return config.devices


def choose_precision(wanted: Literal["auto", "32", "bf16"]) -> Precision:
    """Resolve `auto`: bf16 where it is faster than fp32, on GPUs from Ampere on and on CPUs with AMX; else fp32.

    AVX512-BF16 without AMX is not enough: ResNet-20 trains at 252 images/s in bf16 and 338 in fp32 there
    (docs/performance.md).
    """
    if wanted != "auto":
        return wanted
    if gpus := count_gpus():
        return "bf16" if min(map(torch.cuda.get_device_capability, range(gpus))) >= (8, 0) else "32"
    return "bf16" if torch.cpu._is_amx_tile_supported() else "32"


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_device() -> dict[str, str]:
    """Return the device and, for a GPU, what else decides which kernels compute and in which order they add."""
    if not count_gpus():
        return {"device": "cpu"}
    gpu = torch.cuda.get_device_properties()
    return {
        "device": gpu.name,
        "multiprocessors": str(gpu.multi_processor_count),
        "cuDNN": str(torch.backends.cudnn.version()),
        "GPU driver": _DRIVER.read_text().partition("\n")[0] if _DRIVER.exists() else "unknown",
    }


def check_memory(size: int, device: torch.device) -> None:
    """Check that data fit into the free memory of a GPU, and into the part of it that the sweep gives to this cell.

    Args:
        size: bytes of the data.
        device: where the data go; on a CPU, nothing is checked.

    Raises:
        ValueError: the data don't fit.
    """
    if device.type != "cuda":
        return
    free, total = torch.cuda.mem_get_info(device)
    share = min(float(os.environ.get(PROMISED_GPUS, "1")), 1.0)
    if size > min(free, share * total):
        raise ValueError(
            f"GPU memory: {_gigabytes(size)} of data: don't fit into {_gigabytes(share * total)}, this cell's share of "
            f"{_gigabytes(total)}, of which {_gigabytes(free)} are free; give cells a larger share with "
            "sweep.resources.gpus, or set data.storage to files"
        )


@contextmanager
def explain_exhausted_memory() -> Iterator[None]:
    """Turn torch's error for exhausted GPU memory into a user's mistake. Nothing is computed again.

    Raises:
        ValueError: the block exhausts the GPU's memory.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"GPU memory: {str(error).partition('.')[0]}; lower the batch size, or give cells a larger share with "
            "sweep.resources.gpus"
        ) from error


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


def exact_fp32() -> None:
    """Have GPUs compute fp32 in fp32: without the TF32 that cuDNN uses by default, and cuBLAS in some containers."""
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")


def compute_exactly(threads: int, deterministic: bool = True, compiled: bool = False) -> None:
    """Set the process-wide state on which results depend: CPU threads, exact fp32 and deterministic algorithms.

    As `torch.use_deterministic_algorithms`, without its import of torch's compiler, which takes two seconds of every
    start with torch 2.14; a network that is compiled needs that import anyway.

    Args:
        threads: CPU threads of this process; their number changes the order of sums.
        deterministic: allow deterministic algorithms only; otherwise allow all.
        compiled: whether `torch.compile` will compile the network.
    """
    torch.set_num_threads(threads)
    exact_fp32()
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is not deterministic without
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    if compiled:
        torch.use_deterministic_algorithms(deterministic)
    # Deterministic algorithms also fill new tensors, against reads of uninitialized memory. No operation here makes
    # such a read, and filling takes a seventh of a training step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
