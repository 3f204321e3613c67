"""Launches that would hang, or train another number of processes than the parameters say, are refused."""

from __future__ import annotations

import socket

import pytest
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from resgrid.training.launch import check_launch, cluster_environment

VARIABLES = (
    "LOCAL_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "NODE_RANK",
    "SLURM_JOB_ID",
    "SLURM_JOB_NAME",
    "SLURM_NTASKS",
    "SLURM_NTASKS_PER_NODE",
    "SLURM_STEP_ID",
    "TORCHELASTIC_RUN_ID",
    "WORLD_SIZE",
)
ALLOCATION = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}
SRUN = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}
RANK = {"LOCAL_RANK": "0", "NODE_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}


@pytest.fixture
def environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in request.param.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("environment", "devices", "num_nodes"),
    [
        ({}, 1, 1),
        ({}, 2, 1),
        ({"LOCAL_RANK": "0"}, 1, 1),
        ({"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, 1, 2),
        ({"NODE_RANK": "1"}, 1, 2),
        (ALLOCATION, 2, 1),
        ({**SRUN, "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2"}, 2, 2),
        ({**SRUN, "SLURM_NTASKS": "1"}, 1, 1),
        ({**ALLOCATION, "SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "bash"}, 1, 1),
        (RANK | {"LOCAL_RANK": "1", "MASTER_PORT": "1"}, 2, 1),  # a rank that Lightning has started
    ],
    indirect=["environment"],
)
@pytest.mark.usefixtures("environment")
def test_right_launches_pass(devices: int, num_nodes: int) -> None:
    check_launch(devices, num_nodes)


@pytest.mark.parametrize(
    ("environment", "devices", "num_nodes", "message"),
    [
        ({}, 1, 2, r"^train.devices 1 × train.num_nodes 2: no variable says which node this is; start it on each node"),
        (ALLOCATION, 1, 2, r"train.num_nodes 2: no variable says which node this is"),
        ({"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "4"}, 1, 2, "num_nodes 2: torchrun started 4 processes; make"),
        ({**SRUN, "SLURM_NTASKS": "4"}, 1, 1, "num_nodes 1: srun started 4 processes; make the two numbers equal"),
        ({**SRUN, "SLURM_NTASKS": "2"}, 2, 1, "the tasks per node; start srun with --ntasks-per-node=2"),
        (
            {"LOCAL_RANK": "0"},
            2,
            1,
            r"^LOCAL_RANK: 0: is set without WORLD_SIZE, MASTER_ADDR, MASTER_PORT .*; unset LOCAL_RANK, or start",
        ),
        (RANK | {"MASTER_PORT": "http"}, 2, 1, r"^MASTER_PORT: http: can't be used"),
    ],
    indirect=["environment"],
)
@pytest.mark.usefixtures("environment")
def test_wrong_launches_are_refused(devices: int, num_nodes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_launch(devices, num_nodes)


@pytest.mark.parametrize("environment", [{}], indirect=True)
@pytest.mark.usefixtures("environment")
def test_a_taken_port_is_refused_by_the_rank_that_listens_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("MASTER_PORT", str(port))
        check_launch(1, 1)  # a single process needs no port
        monkeypatch.setenv("NODE_RANK", "1")
        check_launch(1, 2)
        monkeypatch.setenv("NODE_RANK", "0")
        with pytest.raises(ValueError, match=rf"^MASTER_PORT: {port}: can't be used .*in use.*; unset it, or choose"):
            check_launch(1, 2)
    check_launch(1, 2)


@pytest.mark.parametrize(
    ("environment", "is_lightnings"),
    [
        ({}, False),
        (ALLOCATION, True),
        ({**SRUN, "SLURM_NTASKS": "4"}, False),
        ({**ALLOCATION, "TORCHELASTIC_RUN_ID": "1"}, False),
    ],
    indirect=["environment"],
)
@pytest.mark.usefixtures("environment")
def test_an_allocation_without_srun_is_not_a_launch(is_lightnings: bool) -> None:
    assert isinstance(cluster_environment(), LightningEnvironment) == is_lightnings
