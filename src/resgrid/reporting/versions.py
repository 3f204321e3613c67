"""Versions of an experiment, each a commit, a DVC experiment or a folder, and what `compare` reads of them."""

from __future__ import annotations

import io
import json
import math
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args

from resgrid.artifacts.files import REPORTS, RUNS
from resgrid.cells import Cell, grid, parse_cell
from resgrid.config.reading import PARAMS_FILE, read_params
from resgrid.presets import leaves
from resgrid.reporting.results import ResultsError

ComparedMeasure = Literal["test_error", "train_error", "val_error"]
MEASURES: tuple[ComparedMeasure, ...] = get_args(ComparedMeasure)

_SOURCES = Path("sources")
_NEEDED = (PARAMS_FILE, RUNS, _SOURCES, REPORTS)


@dataclass(frozen=True)
class Version:
    """One version of an experiment.

    Attributes:
        label: the commit, experiment or folder, as the user named it.
        parameters: by dotted name.
        data_hash: SHA-256 of the prepared data; None if the version has no `reports/summary.json`.
        cells: errors in percent by cell, without those that are missing or not finite.
        verdicts: answers by key; empty if the version has no `reports/verdicts.json`.
        titles: the claims in a few words.
        manifests: content by name, such as `train/plain20`.
    """

    label: str
    parameters: Mapping[str, Any]
    data_hash: str | None
    cells: Mapping[Cell, Mapping[ComparedMeasure, float]]
    verdicts: Mapping[str, str]
    titles: Mapping[str, str]
    manifests: Mapping[str, dict[str, Any]]


def read_version(name: str, folder: Path | None = None) -> Version:
    """Read a version by the name of a folder, commit or DVC experiment.

    Args:
        folder: the path that `name` means if it is a folder; by default, `name`.

    Raises:
        ResultsError: there is no such version, or its files are damaged or contain no cells.
    """
    folder = folder or Path(name)
    if folder.is_dir():
        return _read_folder("this folder" if name == "." else name, folder)
    revision = _revision(name)
    with TemporaryDirectory() as temporary:
        _extract(revision, Path(temporary))
        return _read_folder(name if revision.startswith(name) else f"{name} ({revision[:12]})", Path(temporary))


def _revision(name: str) -> str:
    """Return the hash of a commit or of a DVC experiment's commit, which is a git reference below `refs/exps`."""
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").decode().strip()
    if found:
        return found
    for line in _git("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").decode().splitlines():
        revision, _, reference = line.partition(" ")
        if reference.rpartition("/")[2] == name:
            return revision
    raise ResultsError(f"{name}: neither a folder, a commit nor an experiment; use one, such as HEAD~1")


def _extract(revision: str, folder: Path) -> None:
    top = set(_git("ls-tree", "--name-only", revision).decode().splitlines())
    wanted = [path.as_posix() for path in _NEEDED if path.as_posix() in top]
    if wanted:
        with tarfile.open(fileobj=io.BytesIO(_git("archive", revision, "--", *wanted))) as archive:
            archive.extractall(folder, filter="data")


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], capture_output=True, check=False).stdout


def _read_folder(label: str, folder: Path) -> Version:
    parameters = read_params(folder / PARAMS_FILE) if (folder / PARAMS_FILE).is_file() else {}
    cells = _read_cells(folder / RUNS, _grid_of(parameters))
    if not cells:
        raise ResultsError(f"{label}: contains no cells with results below {RUNS}/; use a version that has run")
    summary, verdicts = _read_json(folder / REPORTS / "summary.json"), _read_json(folder / REPORTS / "verdicts.json")
    claims = verdicts.get("verdicts", [])
    return Version(
        label,
        dict(leaves(parameters)),
        summary.get("data", {}).get("data_hash"),
        cells,
        {verdict["key"]: verdict["answer"] for verdict in claims},
        {verdict["key"]: verdict["title"] for verdict in claims},
        {
            path.relative_to(folder / _SOURCES).with_suffix("").as_posix(): _read_json(path)
            for path in sorted((folder / _SOURCES).rglob("*.json"))
        },
    )


def _grid_of(parameters: dict[str, Any]) -> list[Cell] | None:
    """Return the cells of the grid, because folders of removed cells stay; None without parameters."""
    section = parameters.get("grid")
    return grid(section["network"], section["seed"]) if isinstance(section, dict) else None


def _read_cells(runs: Path, cells: list[Cell] | None) -> dict[Cell, dict[ComparedMeasure, float]]:
    if cells is None:
        cells = [parse_cell(path.parent.name) for path in sorted(runs.glob("*/metrics.json"))]
    found: dict[Cell, dict[ComparedMeasure, float]] = {}
    for cell in cells:
        folder = runs / cell.name
        numbers = {**_read_json(folder / "metrics.json"), **_read_json(folder / "evaluation.json")}
        needed = (*MEASURES, "train_loss", "val_loss", "test_loss")
        if all(isinstance(numbers.get(name), int | float) and math.isfinite(numbers[name]) for name in needed):
            found[cell] = {measure: float(numbers[measure]) for measure in MEASURES}
    return found


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ResultsError(f"{path}: is damaged: {error}; restore it") from None
