"""The trials of a search and their journal, from which an interrupted search resumes."""

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
    """One run of a search.

    Attributes:
        number: from 0.
        parameters: values of the searched parameters, by dotted name.
        state: `started` until the trial is `done`, or `stopped` early because other trials were better.
        validations: step and validation error in percent.
        run_id: of the trial's MLflow run.
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
        """The step of the last validation."""
        return self.validations[-1][0] if self.validations else 0

    @property
    def val_error(self) -> float:
        """The validation error in percent at the last validation."""
        return self.validations[-1][1] if self.validations else float("inf")


class Journal:
    """A file with a line of JSON for the search, and for each trial's start, validations and end.

    Lines are appended and synced to disk at once. A line that a kill cut off is dropped when the file is read.

    Args:
        path: of the file, which need not exist.
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
            self._read(json.loads(line))

    def begin_search(self, parent_run: str | None) -> None:
        """Add the MLflow run of the search, which a later start reuses."""
        self.parent_run = parent_run
        self._append({"parent_run": parent_run})

    def begin(self, trial: Trial) -> None:
        """Add a new trial."""
        self.trials.append(trial)
        self._append({"number": trial.number, "parameters": trial.parameters})

    def add_validation(self, trial: Trial, step: int, val_error: float) -> None:
        """Add a validation, unless it is known: a resumed trial repeats validations after its checkpoint."""
        if step > trial.step:
            trial.validations.append((step, val_error))
            self._append({"number": trial.number, "validation": [step, val_error]})

    def end(self, trial: Trial) -> None:
        """Add the end of a trial that is done or was stopped early; it never runs again."""
        self._append(asdict(trial))

    @property
    def ended(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.state != STARTED]

    @property
    def best(self) -> Trial | None:
        """The trial with the lowest validation error of those that are done; the earliest if several have it."""
        done = [trial for trial in self.trials if trial.state == DONE]
        return min(done, key=lambda trial: trial.val_error, default=None)

    def _read(self, line: dict[str, Any]) -> None:
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
