"""Which stale stages an acceptance can compare: those for which only the manifest of code and packages changed."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from resgrid.artifacts.acceptance import md5_of
from resgrid.cells import parse_cell
from resgrid.sources.manifest import Manifest, manifest_path, read_manifest
from resgrid.sweep.graph import Graph


@dataclass(frozen=True)
class Candidate:
    """A stale stage of a cell.

    Attributes:
        stage: such as `train@plain8-0`.
        problem: why its results can't be compared; None if they can.
        hashes: MD5 of the stage's manifest in dvc.lock, and now.
        files: code files that changed.
        packages: versions of the packages that changed.
    """

    stage: str
    problem: str | None = None
    hashes: tuple[str, str] = ("", "")
    files: tuple[str, ...] = ()
    packages: tuple[tuple[str, str | None, str | None], ...] = ()

    @property
    def group(self) -> str:
        """`train` or `evaluate`."""
        return self.stage.partition("@")[0]

    @property
    def cell(self) -> str:
        return self.stage.partition("@")[2]


def find_candidates(graph: Graph, stages: list[str]) -> list[Candidate]:
    """List the stale ones of a cell's stages; after one whose results can't be compared, none follows."""
    candidates: list[Candidate] = []
    for stage in stages:
        if (reason := graph.why_stale(stage)) is None:
            continue
        candidates.append(_candidate(graph, stage, reason))
        if candidates[-1].problem:
            break
    return candidates


def _candidate(graph: Graph, stage: str, reason: str) -> Candidate:
    group, _, cell = stage.partition("@")
    manifest = manifest_path(group, parse_cell(cell).network)
    changes = graph.changes(stage)
    before = changes.recorded.get(manifest.as_posix())
    if before is None or changes.names != [manifest.as_posix()]:
        return Candidate(stage, f"more than code or packages changed ({reason}); run it again")
    old, new = _committed(manifest, before), read_manifest(manifest)
    if old is None:
        return Candidate(stage, f"{manifest}: the manifest of the results is in no commit; run it again")
    return Candidate(
        stage,
        None,
        (before, md5_of(manifest.read_bytes())),
        tuple(sorted({name for name, _ in old["files"].items() ^ new["files"].items()})),
        tuple(
            (name, old["packages"].get(name), new["packages"].get(name))
            for name in sorted({name for name, _ in old["packages"].items() ^ new["packages"].items()})
        ),
    )


@cache
def _committed(path: Path, md5: str) -> Manifest | None:
    """Find the newest committed version of a manifest that has this hash."""
    for commit in _git("log", "--format=%H", "--all", "--", path.as_posix()).decode().split():
        content = _git("show", f"{commit}:{path.as_posix()}")
        if md5_of(content) == md5:
            return json.loads(content)
    return None


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], capture_output=True, check=False).stdout
