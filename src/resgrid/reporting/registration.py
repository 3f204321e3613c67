"""Registration: the rules, the grid and the parameters that git has from before the first run.

`resgrid register` commits `registration.json`. A report's verdicts are *registered* if this file has the present rules
and experiment, and its commit precedes every run and has none of the runs' results. All others are *exploratory*.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from resgrid.artifacts.cell_files import CellPaths
from resgrid.artifacts.files import JsonRecord
from resgrid.config.report import ReportParams
from resgrid.reporting.results import CellResult, Results
from resgrid.sources.meaning import digest_of_bytes, digest_of_file

REGISTRATION = "registration.json"

# Files whose code decides verdicts: rules, margins, and what they share. The seeds in `params.yaml` give n.
_PACKAGE = Path(__file__).parent
_RULES = ("contrasts.py", "convergence.py", "ensembles.py", "statistics.py")

_EXPERIMENT = {"augment", "optimizer", "schedule", "train", "evaluate"}


class Registration(JsonRecord):
    """The content of `registration.json`.

    Attributes:
        rules: digest of the code of the claims' rules and margins; comments and docstrings don't count.
        parameters: digest of the experiment's parameters.
    """

    preset: str
    networks: list[str]
    seeds: list[int]
    rules: str
    parameters: str


@dataclass(frozen=True)
class RegistrationCheck:
    """Whether the verdicts are registered.

    Attributes:
        text: the commit of the registration, or why the verdicts are exploratory.
    """

    valid: bool
    text: str


def make_registration(config: ReportParams) -> Registration:
    """Describe the present rules and experiment."""
    files = sorted([*(_PACKAGE / "claims").glob("*.py"), *(_PACKAGE / name for name in _RULES)])
    digests = "".join(f"{file.name} {digest_of_file(file)}\n" for file in files)
    return Registration(
        preset=config.preset,
        networks=config.grid.network,
        seeds=config.grid.seed,
        rules=digest_of_bytes(digests.encode()),
        parameters=digest_of_bytes(config.model_dump_json(include=_EXPERIMENT).encode()),
    )


def check_registration(config: ReportParams, results: Results, runs: Path) -> RegistrationCheck:
    """Check against git whether the present rules and experiment were registered before the runs.

    Args:
        runs: the cells' folder, in the root of the repository.
    """
    root = runs.absolute().parent
    problem = _content_problem(config, root)
    commit = "" if problem else _git(root, "log", "-1", "--format=%H", "--", REGISTRATION)
    if not problem and (not commit or _git(root, "status", "--porcelain", "--", REGISTRATION)):
        problem = f"{REGISTRATION} is not committed"
    problem = problem or next(_run_problems(results.all_cells, commit, runs, root), "")
    return RegistrationCheck(not problem, problem or f"commit {commit[:12]}")


def _content_problem(config: ReportParams, root: Path) -> str:
    """Return why `registration.json` doesn't register this experiment; empty if it does."""
    path = root / REGISTRATION
    if not path.is_file():
        return "nothing was registered before the runs"
    registered, present = Registration.read(path), make_registration(config)
    for field in Registration.model_fields:
        if getattr(registered, field) != getattr(present, field):
            return f"{REGISTRATION} has other {field}"
    return ""


def _run_problems(cells: Iterable[CellResult], commit: str, runs: Path, root: Path) -> Iterator[str]:
    """Yield why runs don't count as later than the registration."""
    for cell in cells:
        trained = cell.record.train.commit if cell.record and cell.record.train else None
        if trained is None:
            yield f"the commit of {cell.cell.name} is unknown"
        elif not _is_ancestor(root, commit, trained.removesuffix("-dirty")):
            yield f"{cell.cell.name} was trained before the registration"
        evaluation = CellPaths(cell.cell, runs).evaluation.absolute()
        # Equal runs give equal bytes, so a later run can repeat a result that was known.
        known = _git(root, "rev-parse", "--verify", "--quiet", f"{commit}:./{evaluation.relative_to(root).as_posix()}")
        if known and known == _git(root, "hash-object", str(evaluation)):
            yield f"the result of {cell.cell.name} was known at the registration"


def _is_ancestor(root: Path, first: str, second: str) -> bool:
    command = ["git", "merge-base", "--is-ancestor", first, second]
    return subprocess.run(command, cwd=root, capture_output=True, check=False).returncode == 0


def _git(root: Path, *arguments: str) -> str:
    """Return the output of a git command; empty if it fails."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
