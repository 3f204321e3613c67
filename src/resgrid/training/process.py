"""What must hold in a process before a training is built in it: threads, determinism, seeds, and a valid launch."""

from __future__ import annotations

import logging
import os
import warnings
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import pytorch_lightning as pl
import torch

from resgrid.config.train import TrainConfig
from resgrid.hardware import Precision, choose_precision, compute_exactly, count_devices, describe_device
from resgrid.training.launch import check_launch


@dataclass(frozen=True)
class Process:
    """How this process and the other processes of its training compute.

    Attributes:
        precision: precision of forward and backward passes.
        devices: processes on each node, one per device.
        num_nodes: number of nodes.
    """

    precision: Precision
    devices: int
    num_nodes: int

    @property
    def world_size(self) -> int:
        """Processes on all nodes."""
        return self.devices * self.num_nodes

    def conditions(self) -> dict[str, str]:
        """Return what must be equal for a resumed run to compute the same bits."""
        return {
            "torch": torch.__version__,
            "pytorch-lightning": version("pytorch-lightning"),
            "numpy": np.__version__,
            "precision": self.precision,
            "devices": str(self.world_size),
        } | describe_device()


def prepare_process(config: TrainConfig, seed: int) -> Process:
    """Set the process-wide state of torch and Lightning for a training.

    Args:
        seed: seed of the random numbers of this process; it decides the initial weights.

    Raises:
        ValueError: this machine has too few devices, or the processes were started wrongly.
    """
    devices = count_devices(config)
    check_launch(devices, config.num_nodes)
    compute_exactly(config.threads, config.deterministic, config.compile)
    # If this variable is not set, Lightning sets the number of threads of each rank to its share of the cores.
    os.environ["OMP_NUM_THREADS"] = str(config.threads)
    pl.seed_everything(seed, verbose=False)
    _silence_lightning()
    return Process(choose_precision(config.precision), devices, config.num_nodes)


def _silence_lightning() -> None:
    """Silence Lightning's tips, its device list, and warnings that do not apply here."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # The loader needs no state: it starts at the restored step.
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable")
    # Lightning calls a torch function that is deprecated since 2.14.
    warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
