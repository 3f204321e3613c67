"""The section `machine`: settings that cannot change a result, so no cell depends on them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from resgrid.config.reading import Section

# A sweep sets this variable to the GPUs of a cell: a number of them, or a fraction of one.
PROMISED_GPUS = "RESGRID_GPUS"


class MachineConfig(Section):
    """How this machine runs a pipeline stage.

    Attributes:
        workers: processes per device that decode image files; 0 decodes between steps. Arrays need none.
        checkpoint_every: steps between checkpoints, from which a killed run resumes.
    """

    workers: Annotated[int, Field(ge=0, le=512)]
    checkpoint_every: Annotated[int, Field(ge=1)]


class MachineParams(Section):
    """The section `machine` alone."""

    machine: MachineConfig
