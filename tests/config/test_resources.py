"""The resources of a sweep's cells: cores, GPUs, and how many cells run at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from resgrid.config.sweep import ResourcesConfig
from resgrid.config.whole import load_config

PARAMS = Path(__file__).parents[2] / "presets/digits.yaml"


def resources(gpus: Any) -> ResourcesConfig:
    return ResourcesConfig(cpus=2, gpus=gpus)


def test_auto_becomes_a_number_and_a_number_stays() -> None:
    assert resources("auto").with_number_of_gpus(4).for_ray() == {"CPU": 2.0, "GPU": 4.0}
    assert resources(0.25).with_number_of_gpus(4).for_ray() == {"CPU": 2.0, "GPU": 0.25}


@pytest.mark.parametrize(
    ("gpus", "available", "cells"),
    [
        (0, {"CPU": 5.0}, 2),
        (0, {"CPU": 5.0, "GPU": 8.0}, 2),
        (1, {"CPU": 16.0, "GPU": 3.0}, 3),
        (0.25, {"CPU": 6.0, "GPU": 1.0}, 3),
        (1, {"CPU": 16.0}, 0),
    ],
)
def test_cells_run_at_once_as_cores_and_gpus_allow(gpus: float, available: dict[str, float], cells: int) -> None:
    assert resources(gpus).cells_at_once(available) == cells


@pytest.mark.parametrize(
    ("gpus", "devices", "mistake"),
    [
        ("auto", 4, None),
        (0, 4, None),
        (4, "auto", None),
        (0.25, 1, None),
        (2, 4, "sweep.resources.gpus: 2: train.devices is 4, and each process uses one GPU; use auto, or the same"),
        (0.25, 2, "sweep.resources.gpus: 0.25: train.devices is 2, and each process uses one GPU"),
    ],
)
def test_each_process_has_one_gpu(gpus: Any, devices: Any, mistake: str | None) -> None:
    changes = {"train.devices": devices, "sweep.resources.cpus": 4, "sweep.resources.gpus": gpus}
    config = load_config(PARAMS, changes)
    if mistake is None:
        config.check_resources()
    else:
        with pytest.raises(ValueError, match=f"^{mistake}"):
            config.check_resources()
