"""Checks of how the processes of a training were started: wrong launches hang or train the wrong thing."""

from __future__ import annotations

import os
import socket

import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

# What a launcher other than torchrun and Slurm must set for each process.
_MANUAL = ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def check_launch(devices: int, num_nodes: int) -> None:
    """Refuse a launch whose processes would not form the training that the parameters describe.

    Args:
        devices: processes on each node.
        num_nodes: number of nodes.

    Raises:
        ValueError: another number of processes was started, a variable that tells them apart is missing, or the port
            on which they meet is taken.
    """
    wanted = f"train.devices {devices} × train.num_nodes {num_nodes}"
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        _check_count(wanted, "torchrun", os.environ["WORLD_SIZE"], devices * num_nodes)
    elif started_by_srun():
        _check_count(wanted, "srun", os.environ["SLURM_NTASKS"], devices * num_nodes)
        if devices * num_nodes > 1 and "SLURM_NTASKS_PER_NODE" not in os.environ:
            raise ValueError(
                f"{wanted}: Lightning needs the tasks per node; start srun with --ntasks-per-node={devices}"
            )
    elif num_nodes > 1 and "NODE_RANK" not in os.environ:
        raise ValueError(
            f"{wanted}: no variable says which node this is; start it on each node with torchrun or srun, "
            "or set MASTER_ADDR, MASTER_PORT and NODE_RANK"
        )
    elif devices * num_nodes > 1:
        _check_local_rank(wanted)
        _check_port()


def started_by_srun() -> bool:
    """Return whether srun started this process. Variables of an allocation alone (salloc, sbatch) do not count.

    As in Lightning, jobs named `bash` or `interactive` do not count: their shell starts the training by hand.
    """
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    return {"SLURM_STEP_ID", "SLURM_NTASKS"} <= os.environ.keys() and not interactive


def cluster_environment() -> LightningEnvironment | None:
    """Return the environment that Lightning must use, or None if Lightning finds the right one.

    Lightning takes any process with SLURM_NTASKS for a task of srun, and then waits for the other tasks or fails
    (https://github.com/Lightning-AI/pytorch-lightning/issues/19762).
    """
    elastic = torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()
    mistaken = "SLURM_NTASKS" in os.environ and not started_by_srun() and not elastic
    return LightningEnvironment() if mistaken else None


def _check_count(wanted: str, launcher: str, started: str, expected: int) -> None:
    if int(started) != expected:
        raise ValueError(f"{wanted}: {launcher} started {started} processes; make the two numbers equal")


def _check_local_rank(wanted: str) -> None:
    """Refuse LOCAL_RANK without the variables that come with it: Lightning would wait for processes that nobody starts.

    See https://github.com/Lightning-AI/pytorch-lightning/issues/16313.
    """
    missing = [name for name in _MANUAL if name not in os.environ]
    if "LOCAL_RANK" in os.environ and missing:
        raise ValueError(
            f"LOCAL_RANK: {os.environ['LOCAL_RANK']}: is set without {', '.join(missing)} for {wanted}; "
            "unset LOCAL_RANK, or start the training with torchrun"
        )


def _check_port() -> None:
    """Refuse a taken MASTER_PORT on the first rank, which listens on it; the other ranks would wait for minutes."""
    port = os.environ.get("MASTER_PORT")
    first = all(os.environ.get(name, "0") == "0" for name in ("NODE_RANK", "LOCAL_RANK"))
    if port is None or not first:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", int(port)))
        except (OSError, ValueError, OverflowError) as error:
            raise ValueError(f"MASTER_PORT: {port}: can't be used ({error}); unset it, or choose a free port") from None
