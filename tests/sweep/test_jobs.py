"""What all cells of a sweep get."""

from __future__ import annotations

import pytest

from resgrid.config.machine import PROMISED_GPUS
from resgrid.config.sweep import ResourcesConfig
from resgrid.sweep.jobs import environment_of_cells


@pytest.mark.parametrize("gpus", [0.25, 1.0, 2.0])
def test_a_cell_is_promised_its_gpus(gpus: float) -> None:
    environment = environment_of_cells(ResourcesConfig(cpus=1, gpus=gpus), None)
    assert environment[PROMISED_GPUS] == str(gpus)
    assert "CUDA_VISIBLE_DEVICES" not in environment  # Ray chooses which


def test_a_cell_without_gpus_sees_none() -> None:
    environment = environment_of_cells(ResourcesConfig(cpus=1, gpus=0), None)
    assert float(environment[PROMISED_GPUS]) == 0
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
