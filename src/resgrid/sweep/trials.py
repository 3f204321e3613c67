"""The trials of a search and their journal: what an interrupted search goes on from."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from resgrid.artifacts.files import write_atomically

STARTED, DONE, STOPPED = "started", "done", "stopped"


@dataclass
class Trial:
    """One training of a search.

    Attributes:
        number: from 0.
        parameters: the values of the searched parameters, by dotted name.
        state: `started` until it is `done`, or `stopped` early since others were better.
        validations: step and validation error in percent of the network as it was then.
        run_id: of its MLflow run.
    """

    number: int
    parameters: dict[str, Any]
    state: Literal["started", "done", "stopped"] = STARTED
    validations: list[tuple[int, float]] = field(default_factory=list)
    run_id: str | None = None

    @property
    def name(self) -> str:
        return f"trial-{self.number:03}"

    @property
    def step(self) -> int:
        """Of the last validation."""
        return self.validations[-1][0] if self.validations else 0

    @property
    def val_error(self) -> float:
        """At the last validation, in percent."""
        return self.validations[-1][1] if self.validations else float("inf")


class Journal:
    """A file with a line of JSON for the search, for each trial's begin, its validations and its end.

    A line is appended and brought to the disk at once. One that a kill cut off is dropped when the file is read.

    Args:
        path: of the file, which need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.parent_run: str | None = None
        self.trials: list[Trial] = []
        content = path.read_bytes() if path.exists() else b""
        whole, newline, cut_off = content.rpartition(b"\n")
        if cut_off:
            write_atomically(path, whole + newline)
        for line in whole.splitlines():
            self._take(json.loads(line))

    def begin_search(self, parent_run: str | None) -> None:
        """Note the MLflow run of the search, which a later start goes on with."""
        self.parent_run = parent_run
        self._append({"parent_run": parent_run})

    def begin(self, trial: Trial) -> None:
        self.trials.append(trial)
        self._append({"number": trial.number, "parameters": trial.parameters})

    def hear(self, trial: Trial, step: int, val_error: float) -> None:
        """Note a validation. A trial that went on from a checkpoint brings some of them once more."""
        if step > trial.step:
            trial.validations.append((step, val_error))
            self._append({"number": trial.number, "validation": [step, val_error]})

    def end(self, trial: Trial) -> None:
        """Note a trial that is done or was stopped early; it is never run again."""
        self._append(asdict(trial))

    @property
    def ended(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.state != STARTED]

    @property
    def best(self) -> Trial | None:
        """Of those that trained to the end, the one with the lowest validation error (the earliest of equals)."""
        done = [trial for trial in self.trials if trial.state == DONE]
        return min(done, key=lambda trial: trial.val_error, default=None)

    def _take(self, line: dict[str, Any]) -> None:
        if "parent_run" in line:
            self.parent_run = line["parent_run"]
            return
        if "validation" in line:
            step, val_error = line["validation"]
            self.trials[line["number"]].validations.append((step, val_error))
            return
        trial = Trial(**line)
        trial.validations = [(step, error) for step, error in trial.validations]
        if trial.number < len(self.trials):
            self.trials[trial.number] = trial
        else:
            self.trials.append(trial)

    def _append(self, line: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
