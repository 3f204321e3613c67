"""What the machine has: devices, and the precision that its silicon computes."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Literal

import torch

from resgrid.config.train import TrainConfig

Precision = Literal["32", "bf16"]


def choose_accelerator() -> Literal["gpu", "cpu"]:
    return "gpu" if torch.cuda.is_available() else "cpu"


def count_devices(config: TrainConfig) -> int:
    """Processes on each node: one for each GPU, or the CPU processes asked for.

    Raises:
        ValueError: more GPUs are asked for than there are; never are fewer devices used in silence.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if config.devices == "auto":
        return max(gpus, 1)
    if gpus and config.devices > gpus:
        raise ValueError(
            f"train.devices: {config.devices}: this machine has {gpus} GPUs; allowed are auto and 1 to {gpus}"
        )
    return config.devices


def choose_precision(wanted: Literal["auto", "32", "bf16"]) -> Precision:
    """`auto` is bf16 where the hardware computes it in silicon: Ampere or newer, AMX or AVX512-BF16; else fp32."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "32"
    in_silicon = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16" if in_silicon else "32"


def describe_hardware() -> str:
    """The GPUs, or the processor with its cores, in words."""
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        return f"{count} × {torch.cuda.get_device_name()}" if count > 1 else torch.cuda.get_device_name()
    return f"{_processor()}, {count_cores()} cores"


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


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
