"""The whole `params.yaml`, for commands; no pipeline stage imports this module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from resgrid.config.data import PreprocessParams
from resgrid.config.machine import MachineConfig
from resgrid.config.reading import PARAMS_FILE, check_sections, read_params, with_changes
from resgrid.config.report import ReportParams
from resgrid.config.search import SearchConfig
from resgrid.config.sweep import SweepConfig


class Config(ReportParams, PreprocessParams):
    """The whole `params.yaml`."""

    machine: MachineConfig
    sweep: SweepConfig
    search: SearchConfig

    @model_validator(mode="after")
    def _options_fit_the_storage(self) -> Self:
        augment, data = self.augment, self.data
        mistakes: list[str] = []
        if data.storage == "arrays":
            unused = {
                "augment.crop": (augment.crop and augment.crop.model_dump(), None),
                "augment.lighting": (augment.lighting, 0),
                "evaluate.views": (self.evaluate.views, "single"),
            }
            mistakes += [
                f"{parameter}: {value}: applies to data.storage 'files' only; set {allowed}"
                for parameter, (value, allowed) in unused.items()
                if value != allowed
            ]
        elif augment.pad:
            mistakes.append(f"augment.pad: {augment.pad}: applies to data.storage 'arrays' only; set 0")
        elif augment.crop is None:
            mistakes.append("augment.crop: None: is needed by data.storage 'files'; set shorter_side or area")
        elif augment.crop.shorter_side is not None and augment.crop.shorter_side[0] < (data.image_size or 0):
            mistakes.append(
                f"augment.crop.shorter_side[0]: {augment.crop.shorter_side[0]}: is too small; "
                f"use at least data.image_size, {data.image_size}"
            )
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self

    @property
    def processes_of_a_cell(self) -> int:
        """The number of processes that train a cell in a sweep; with `train.devices: auto`, one."""
        return 1 if self.train.devices == "auto" else self.train.devices

    def check_resources(self) -> None:
        """Check that a sweep can train a cell on one node, with a core for each thread and a GPU for each process.

        Raises:
            ValueError: naming the values.
        """
        train, resources = self.train, self.sweep.resources
        if train.num_nodes > 1:
            raise ValueError(
                f"train.num_nodes: {train.num_nodes}: sweeps and searches train each cell on one node; use 1 "
                "(docs/exactness.md describes how to train one network on several nodes)"
            )
        threads = self.processes_of_a_cell * train.threads
        if resources.cpus < threads:
            raise ValueError(
                f"sweep.resources.cpus: {resources.cpus}: too few; use at least {threads}, the threads of a cell: "
                f"train.threads {train.threads} × train.devices {train.devices}"
            )
        if resources.gpus not in ("auto", 0) and train.devices not in ("auto", max(resources.gpus, 1)):
            raise ValueError(
                f"sweep.resources.gpus: {resources.gpus:g}: train.devices is {train.devices}, and each process uses "
                "one GPU; use auto, or the same number in both"
            )


def load_config(path: Path = PARAMS_FILE, changes: Mapping[str, Any] | None = None) -> Config:
    """Read and check `params.yaml`.

    Args:
        changes: values that replace the file's, by dotted name, such as `{"optimizer.lr": 0.1}`.

    Raises:
        ConfigError: the file is missing or not YAML, or contains mistakes, which are all listed.
    """
    return check_params(with_changes(read_params(path), changes or {}), path)


def check_params(values: dict[str, Any], path: Path) -> Config:
    """Check plain values and return them as a `Config`; see `check_sections`."""
    return check_sections(values, path, Config)
