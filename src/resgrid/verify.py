"""Compares this machine's outputs with those of a commit's `dvc.lock`: first their bytes, then their metrics."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML

from resgrid.artifacts.acceptance import carried_over
from resgrid.artifacts.cell_files import CellPaths, TrainMetrics
from resgrid.cells import parse_cell
from resgrid.sources.manifest import manifest_path

Verdict = Literal["same bytes", "same metrics", "different", "missing"]


@dataclass(frozen=True)
class StageComparison:
    """One pipeline stage on this machine and in a commit.

    Attributes:
        stage: such as `train@plain20-0`.
        verdict: `same metrics` if bytes differ, but no error differs by more than the tolerance.
        differing: outputs whose bytes differ.
        largest_change: of the errors in the stage's metrics, in percentage points; None if all bytes agree.
    """

    stage: str
    verdict: Verdict
    differing: list[str]
    largest_change: float | None


def compare_with_commit(commit: str, tolerance: float) -> list[StageComparison]:
    """Compare each stage in the commit's `dvc.lock` with this folder's `dvc.lock` and metrics.

    The stage `report` is left out: the report names run records, which no two executions share.

    Args:
        commit: a revision that git understands, such as `HEAD`.
        tolerance: percentage points by which an error may differ where bytes differ.

    Raises:
        ValueError: the commit or this folder has no `dvc.lock`.
    """
    theirs = _stages(_from_commit(commit, "dvc.lock"))
    try:
        ours = _stages(Path("dvc.lock").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError("dvc.lock: no such file; run `make run` first") from None
    return [
        _compare(name, outputs, ours.get(name), commit, tolerance)
        for name, outputs in theirs.items()
        if name != "report"
    ]


def trainings_carried_over(comparisons: Iterable[StageComparison]) -> dict[str, str]:
    """Describe, by cell, the trainings that `make accept` carried over to the present code.

    Raises:
        ValueError: a cell's evidence is damaged.
    """
    found: dict[str, str] = {}
    for comparison in comparisons:
        group, _, name = comparison.stage.partition("@")
        if group != "train" or comparison.verdict == "missing":
            continue
        cell = parse_cell(name)
        fingerprint = TrainMetrics.read(CellPaths(cell).metrics).fingerprint
        if words := carried_over(CellPaths(cell), fingerprint, manifest_path(group, cell.network)):
            found[name] = words
    return found


def _compare(
    stage: str, theirs: dict[str, str], ours: dict[str, str] | None, commit: str, tolerance: float
) -> StageComparison:
    if ours is None or any(not Path(path).exists() for path in theirs):
        return StageComparison(stage, "missing", sorted(theirs), None)
    differing = sorted(path for path in theirs if ours.get(path) != theirs[path])
    if not differing:
        return StageComparison(stage, "same bytes", [], None)
    metrics = [path for path in theirs if path.endswith(("metrics.json", "evaluation.json"))]
    changes = [change for path in metrics for change in _changes(commit, path)]
    largest = max(changes, default=None)
    agrees = largest is not None and largest <= tolerance
    return StageComparison(stage, "same metrics" if agrees else "different", differing, largest)


def _changes(commit: str, path: str) -> list[float]:
    """Return how far each error (percent) in a metrics file is from the commit's."""
    before: dict[str, Any] = json.loads(_from_commit(commit, path))
    now: dict[str, Any] = json.loads(Path(path).read_bytes())
    return [
        abs(now[name] - value)
        for name, value in before.items()
        if name.endswith("_error") and name in now and isinstance(value, float)
    ]


def _from_commit(commit: str, path: str) -> str:
    shown = subprocess.run(["git", "show", f"{commit}:{path}"], capture_output=True, text=True, check=False)
    if shown.returncode:
        raise ValueError(f"{path}: not in the commit {commit!r} ({shown.stderr.strip()})")
    return shown.stdout


def _stages(lock: str) -> dict[str, dict[str, str]]:
    """Return the hashes of each stage's outputs, by path."""
    stages = YAML(typ="safe", pure=True).load(lock)["stages"]
    return {name: {out["path"]: out["md5"] for out in entry.get("outs", [])} for name, entry in stages.items()}
