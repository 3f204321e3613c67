"""The machine's devices, their fastest precision, and process-wide settings for exact results."""

from __future__ import annotations

import os
from typing import Literal

import torch

from resgrid.config.train import TrainConfig

Precision = Literal["32", "bf16"]


def choose_accelerator() -> Literal["gpu", "cpu"]:
    """Return Lightning's name of the devices to use."""
    return "gpu" if torch.cuda.is_available() else "cpu"


def count_devices(config: TrainConfig) -> int:
    """Return the number of processes on each node: one per GPU, or the requested number of CPU processes.

    Raises:
        ValueError: the parameters request more GPUs than this machine has.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
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
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "32"
    return "bf16" if torch.cpu._is_amx_tile_supported() else "32"


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
    torch.backends.cudnn.allow_tf32 = False  # cuDNN's default is TF32 in convolutions, which is not fp32
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is not deterministic without
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    if compiled:
        torch.use_deterministic_algorithms(deterministic)
    # Deterministic algorithms also fill new tensors, against reads of uninitialized memory. No operation here makes
    # such a read, and filling takes a seventh of a training step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
