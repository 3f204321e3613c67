"""The section `sweep`: where and how a sweep runs the cells."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from resgrid.config.reading import Section


class ResourcesConfig(Section):
    """What each cell of a sweep gets.

    Attributes:
        cpus: cores; at least the threads that its processes compute with.
        gpus: a whole number, or a fraction of one GPU (0.25: four cells share it). Ray keeps the books of fractions,
            but doesn't divide the memory.
    """

    cpus: Annotated[int, Field(ge=1)]
    gpus: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _whole_or_a_fraction_of_one(self) -> Self:
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus: {self.gpus}: must be a whole number of GPUs or a fraction of one (0.5, 0.25, …)")
        return self


class SweepConfig(Section):
    """Where and how `make sweep` runs the cells; no part of the experiment.

    Attributes:
        address: `local` starts Ray on this machine for the sweep; `auto` joins the cluster that this machine is part
            of; `host:port` joins that one.
        max_failures: times that a cell which failed or was killed is tried again, from its last checkpoint.
    """

    address: Annotated[str, Field(pattern=r"^(local|auto|[^\s:/]+:[0-9]+)$")]
    resources: ResourcesConfig
    max_failures: Annotated[int, Field(ge=0)]
