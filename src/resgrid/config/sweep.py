"""The section `sweep`: where and with which resources a sweep runs the cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from resgrid.config.reading import Section


class ResourcesConfig(Section):
    """Resources of each cell of a sweep.

    Attributes:
        cpus: cores; at least the threads of the cell's processes.
        gpus: auto (one per process if the cluster has GPUs), a whole number, or a fraction of one GPU (0.25: four cells
            share it). Ray counts fractions, but doesn't divide the GPU's memory.
    """

    cpus: Annotated[int, Field(ge=1)]
    gpus: Annotated[float, Field(ge=0)] | Literal["auto"]

    @model_validator(mode="after")
    def _whole_or_a_fraction_of_one(self) -> Self:
        if self.gpus != "auto" and self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(
                f"gpus: {self.gpus}: is not possible; use auto, a whole number of GPUs or a fraction of one "
                "(0.5, 0.25, …)"
            )
        return self

    def with_number_of_gpus(self, number: int) -> ResourcesConfig:
        """Replace `gpus: auto` by a number."""
        return self.model_copy(update={"gpus": float(number)}) if self.gpus == "auto" else self

    def for_ray(self) -> dict[str, float]:
        """Return the resources by Ray's names; `gpus` must be a number."""
        assert self.gpus != "auto"
        return {"CPU": float(self.cpus), "GPU": self.gpus}

    def cells_at_once(self, available: Mapping[str, float]) -> int:
        """Return the number of cells that run in parallel on resources by Ray's names; `gpus` must be a number."""
        return int(min(available.get(name, 0.0) // count for name, count in self.for_ray().items() if count))


class SweepConfig(Section):
    """Where and with which resources `make sweep` runs the cells; not part of the experiment.

    Attributes:
        address: `local` starts Ray on this machine for the sweep; `auto` joins the cluster of this machine;
            `host:port` joins the cluster at this address.
        max_failures: number of times that a failed or killed cell is run again, from its last checkpoint.
    """

    address: Annotated[str, Field(pattern=r"^(local|auto|[^\s:/]+:[0-9]+)$")]
    resources: ResourcesConfig
    max_failures: Annotated[int, Field(ge=0)]
