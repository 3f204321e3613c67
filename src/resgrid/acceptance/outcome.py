"""The outcome of a replay, as its process reports it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """The outcome of one replay.

    Attributes:
        kind: `equal`, `different`, `not comparable`, or `failed` if the replay ended with an error.
        reason: the first difference, the error, or why the results can't be compared.
        hardware: the processor or accelerator of the replay.
        windows: first and last replayed step of each window.
        digests: number of tensor digests that were compared.
        compared: names of the outputs that were compared.
    """

    kind: str
    reason: str = ""
    hardware: str = ""
    windows: tuple[tuple[int, int], ...] = ()
    digests: int = 0
    compared: tuple[str, ...] = ()
