"""DVC's graph, read and written through DVC's own objects: which cells are stale, what they need, what they gave.

DVC's Python interface at this depth is internal: `pyproject.toml` pins its minor version, and a test holds the lock
entries that are written here against those of `dvc repro`.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, cast

import networkx
from dvc.dependency.param import ParamsDependency
from dvc.dvcfile import LOCK_FILE
from dvc.exceptions import DvcException
from dvc.repo import Repo, lock_repo
from dvc.stage import PipelineStage
from dvc.stage.cache import RunCacheNotFoundError
from dvc.stage.serialize import to_lockfile
from dvc.utils.serialize import dumps_yaml
from dvc_data.hashfile.hash_info import HashInfo
from ruamel.yaml import YAML

from resgrid.artifacts.files import write_atomically

LOCK_HEAD = "schema: '2.0'\nstages:\n"

# The stages that are run for each cell, in this order. What comes before them is brought up to date first.
TRAIN, EVALUATE = "train", "evaluate"
CELL_STAGES = (TRAIN, EVALUATE)


class GraphError(ValueError):
    """The graph can't be swept as it is; the message says what to do."""


@dataclass(frozen=True)
class Dependency:
    """One file that a stage declares to read.

    Attributes:
        path: below the repository's root.
        md5: of its content when the plan was made.
        source: a file that holds that content and never changes: in DVC's cache, or in the sweep's own store.
        is_data: from DVC's cache, so that a link will do; code is copied.
    """

    path: str
    md5: str
    source: str
    is_data: bool


@dataclass(frozen=True)
class Snapshot:
    """All that a stage is a function of, as it was when the plan was made.

    Attributes:
        stage: such as `train@resnet20-A-0`.
        commands: of the stage, in order.
        files: its dependencies.
        params: path and content of its parameter files, with the declared parameters only.
        outs: paths below the repository's root.
        made_by_train: dependencies that the cell's `train` stage writes in the same sweep.
    """

    stage: str
    commands: list[str]
    files: list[Dependency]
    params: dict[str, str]
    outs: list[str]
    made_by_train: list[str] = field(default_factory=list)


class Graph:
    """The repository's graph.

    Args:
        root: the repository's folder.
        store: a folder for copies of the code; files are named by their MD5.
    """

    def __init__(self, root: Path, store: Path) -> None:
        # DVC tells of each cached stage; the plan's table does that here.
        logging.getLogger("dvc").setLevel(logging.ERROR)
        self.root, self._store = root, store
        self._repo = Repo(str(root), _wait_for_lock=True)
        self._planned: dict[str, PipelineStage] = {}

    @property
    def cache(self) -> Path:
        """The folder of DVC's cache."""
        return Path(self._repo.cache.local.path)

    def locked(self) -> AbstractContextManager[None]:
        """Keep other DVC commands out, and the graph in memory: after each release DVC reads it anew, for a second."""
        return lock_repo(self._repo)

    def bring_upstream_up_to_date(self, run: bool = True) -> list[str]:
        """Run `dvc repro` for what the cells rest on.

        Args:
            run: False only tells which stages are stale.

        Returns:
            The stages that were stale.

        Raises:
            GraphError: a stage failed; DVC has said why.
        """
        with self.locked():
            cells = set(self._cell_stages())
            graph = self._repo.index.graph
            parents = {parent.addressing for cell in cells for parent in graph.successors(cell) if parent not in cells}
            stale = sorted(self._repo.status(targets=sorted(parents), with_deps=True)) if parents else []
        if stale and run:
            command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", *sorted(parents)]
            if subprocess.run(command, cwd=self.root, check=False).returncode:
                raise GraphError(f"{', '.join(stale)} failed: nothing was trained; mend it and run the sweep again")
        return stale

    def cells(self) -> dict[str, list[str]]:
        """The cells of the grid and their stages' names, `train` first."""
        with self.locked():
            cells: dict[str, list[str]] = {}
            stages = {str(stage.addressing) for stage in self._cell_stages()}
            for stage in self._cell_stages():
                group, _, cell = str(stage.addressing).partition("@")
                if group == TRAIN:
                    cells[cell] = [name for name in (f"{group}@{cell}" for group in CELL_STAGES) if name in stages]
            return cells

    def why_stale(self, stage_name: str) -> str | None:
        """In few words why a stage must run, or None if it is up to date."""
        with self.locked():
            return _reasons(self._stage(stage_name))

    def restore(self, stage_name: str, dry: bool = False) -> bool:
        """Take a stage's outs from DVC's run cache, if they were made from the same dependencies before.

        Args:
            dry: only tell whether the cache holds them.
        """
        with self.locked():
            if not self._is_restorable(self._stage(stage_name)):
                return False
            if dry:
                return True
            stage = self._stage(stage_name)
            stage.remove_outs(ignore_remove=False, force=False)
            self._repo.stage_cache.restore(stage)
            stage.save()
            stage.commit()
            self._dump(stage)
            return True

    def snapshot(self, stage_name: str, train: Snapshot | None = None) -> Snapshot:
        """Hash and keep what a stage depends on.

        Args:
            train: the snapshot of the cell's `train`, if that runs first: its outs are taken from there.

        Raises:
            GraphError: a dependency is missing, or was written to while it was read.
        """
        pending = set(train.outs) if train else set()
        with self.locked():
            stage = self._stage(stage_name)
            files: list[Dependency] = []
            params: dict[str, str] = {}
            for dependency in stage.deps:
                path = self._path(dependency)
                if path in pending:
                    continue
                try:
                    dependency.save()
                except DvcException as error:
                    raise GraphError(f"{stage_name}: its dependency {path}: {error}") from None
                if isinstance(dependency, ParamsDependency):
                    params[path] = _yaml(cast("dict[str, Any]", dependency.hash_info.value))
                else:
                    files += self._files(path, dependency)
            # The stage remembers the hashes that it has now, until it is committed.
            self._planned[stage_name] = stage
            return Snapshot(
                stage=stage_name,
                commands=stage.cmd if isinstance(stage.cmd, list) else str(stage.cmd).splitlines(),
                files=files,
                params=params,
                outs=[self._path(out) for out in stage.outs],
                made_by_train=sorted(pending & {self._path(dependency) for dependency in stage.deps}),
            )

    def commit(self, stage_name: str, delivered: Path) -> None:
        """Put a stage's outs in their places and record them with the hashes of the snapshot.

        Args:
            delivered: the folder that holds the outs, by their paths below the repository's root.

        Raises:
            OSError: an out can't be put in its place.
            DvcException: DVC can't take it, for instance as the disk is full.
        """
        stage = self._planned[stage_name]
        group, _, cell = stage_name.partition("@")
        with self.locked():
            for out in stage.outs:
                path = self._path(out)
                place = self.root / path
                place.parent.mkdir(parents=True, exist_ok=True)
                if place.is_dir() and not place.is_symlink():
                    shutil.rmtree(place)
                (delivered / path).replace(place)
            if group == EVALUATE and (train := self._planned.get(f"{TRAIN}@{cell}")):
                made = {self._path(out): out for out in train.outs}
                for dependency in stage.deps:
                    if out := made.get(self._path(dependency)):
                        dependency.hash_info, dependency.meta = out.hash_info, cast("Any", out.meta)
                        dependency.hash_name = out.hash_name
            stage.save_outs()
            stage.md5 = stage.compute_md5()
            self._repo.stage_cache.save(stage)
            stage.ignore_outs()
            stage.commit()
            self._dump(stage)

    def bring_downstream_up_to_date(self) -> int:
        """Run `dvc repro` for what comes after the cells, the report, and for nothing else. Returns its exit status."""
        with self.locked():
            cells = set(self._cell_stages())
            graph = self._repo.index.graph
            before = {stage for cell in cells for stage in networkx.descendants(graph, cell)} | cells
            after = [stage.addressing for stage in networkx.topological_sort(graph) if stage not in before]
        # DVC's graph points from a stage to those that it depends on.
        command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", *reversed(after)]
        return subprocess.run(command, cwd=self.root, check=False).returncode if after else 0

    def _dump(self, stage: PipelineStage) -> None:
        """Write a stage's entry of dvc.lock in the bytes that DVC would write, but the file by rename, and without
        reading the other entries: DVC writes in place, where a kill would empty the file."""
        place = self.root / LOCK_FILE
        lock = place.read_text(encoding="utf-8") if place.exists() else LOCK_HEAD
        if not lock.startswith(LOCK_HEAD):
            raise DvcException(f"{place} doesn't begin as DVC writes it: run `dvc commit` once, and the sweep again")
        entry = dumps_yaml({"stages": to_lockfile(stage)}).removeprefix("stages:\n")
        write_atomically(place, with_entry(lock, entry).encode())

    def _cell_stages(self) -> list[PipelineStage]:
        stages = [stage for stage in self._repo.index.stages if isinstance(stage, PipelineStage)]
        return [s for group in CELL_STAGES for s in stages if str(s.addressing).partition("@")[0] == group]

    def _stage(self, name: str) -> PipelineStage:
        # Not `repo.stage.collect(name)`, which reads the whole of dvc.lock each time. Names are compared first, since a
        # stage's address takes a while to make, which large grids would notice.
        found = (stage for stage in self._repo.index.stages if isinstance(stage, PipelineStage) and stage.name == name)
        return next(stage for stage in found if stage.addressing == name)

    def _is_restorable(self, stage: PipelineStage) -> bool:
        if stage.changed_stage() or not stage.deps_cached():
            # The outs in the lock belong to other dependencies; without them the run cache is asked.
            for out in stage.outs:
                out.hash_info = HashInfo()
            try:
                stage.save_deps()
            except DvcException:
                return False
        try:
            self._repo.stage_cache.restore(stage, dry=True)
        except RunCacheNotFoundError:
            return False
        return True

    def _path(self, item: Any) -> str:
        return Path(item.fs_path).relative_to(self.root).as_posix()

    def _files(self, path: str, dependency: Any) -> list[Dependency]:
        """The files of a saved dependency, which may be a folder."""
        hash_info = dependency.hash_info
        if not hash_info.isdir:
            return [self._file(path, hash_info.value)]
        return [self._file("/".join((path, *key)), entry.value) for key, _, entry in dependency.obj]

    def _file(self, path: str, md5: str) -> Dependency:
        cached = Path(self._repo.cache.local.oid_to_path(md5))
        if cached.exists():
            return Dependency(path, md5, str(cached), is_data=True)
        kept = self._store / md5
        if not kept.exists():
            content = (self.root / path).read_bytes()
            if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
                raise GraphError(f"{path} was written to while the plan was made; run the sweep again")
            self._store.mkdir(parents=True, exist_ok=True)
            partial = kept.with_suffix(".partial")
            partial.write_bytes(content)
            partial.replace(kept)
        return Dependency(path, md5, str(kept), is_data=False)


def with_entry(lock: str, entry: str) -> str:
    """The text of dvc.lock with a stage's entry instead of the one that it has there, or else at the end."""
    key = entry.partition("\n")[0] + "\n"
    start = lock.find("\n" + key) + 1
    if not start:
        return lock + entry
    end = start + len(key)
    while lock.startswith("    ", end):
        end = lock.find("\n", end) + 1 or len(lock)
    return lock[:start] + entry + lock[end:]


def _reasons(stage: PipelineStage) -> str | None:
    """DVC's status of a stage in few words."""
    status = stage.status().get(str(stage.addressing), [])
    if not status:
        return None
    if not any(out.hash_info for out in stage.outs):
        return "never run"
    words: list[str] = []
    for entry in status:
        if isinstance(entry, str):
            words.append(entry)
            continue
        # The annotation of DVC's method leaves out the level below: {"changed deps": {"params.yaml": {…}}}.
        changes = cast("dict[str, dict[str, Any]]", entry)
        words += _dependency_words(changes.get("changed deps", {}))
        if outs := changes.get("changed outs"):
            words.append(f"{_count(outs, 'out')} {', '.join(sorted(set(outs.values())))}")
    return "; ".join(words)


def _dependency_words(deps: dict[str, Any]) -> Iterable[str]:
    """`{"params.yaml": {"train.lr": "modified"}, "src/a.py": "modified"}` as `train.lr modified`, `code: src/a.py`."""
    code = [path for path in deps if path.endswith(".py")]
    for path, change in deps.items():
        if isinstance(change, dict):
            yield from (f"{name} {what}" for name, what in change.items())
        elif path not in code:
            yield f"{path} {change}"
    if code:
        yield f"code: {code[0]}" if len(code) == 1 else f"code: {len(code)} files"


def _count(items: Iterable[object], noun: str) -> str:
    number = len(list(items))
    return f"{number} {noun}{'s' if number > 1 else ''}"


def _yaml(values: dict[str, Any]) -> str:
    """Dotted names and values as the YAML of a parameter file that holds these alone."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *parents, last = name.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    text = StringIO()
    YAML(typ="safe", pure=True).dump(nested, text)
    return text.getvalue()
