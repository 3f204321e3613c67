"""Reads and records DVC's graph through DVC's own objects: stale cells, their dependencies and their outputs.

DVC's Python interface at this depth is internal. `pyproject.toml` pins its minor version, and a test compares the lock
entries that are written here with those of `dvc repro`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import networkx
from dvc.dependency.param import ParamsDependency
from dvc.dvcfile import LOCK_FILE
from dvc.exceptions import DvcException
from dvc.fs import localfs
from dvc.repo import Repo, lock_repo
from dvc.repo.index import Index
from dvc.rwlock import RWLockFileCorruptedError, RWLockFileFormatError, rwlock
from dvc.stage import PipelineStage
from dvc.stage.cache import RunCacheNotFoundError
from dvc.stage.serialize import to_lockfile
from dvc.utils.serialize import dumps_yaml
from dvc_data.hashfile.hash import file_md5
from dvc_data.hashfile.hash_info import HashInfo

from resgrid.artifacts.files import write_atomically
from resgrid.config.reading import with_changes
from resgrid.sweep.stage_status import Changes, changes_of, lacks_only_outputs, share_hashes, why_stale

LOCK_HEAD = "schema: '2.0'\nstages:\n"

# The pipeline stages of a cell, in their order. All stages before them are brought up to date first.
TRAIN, EVALUATE = "train", "evaluate"
CELL_STAGES = (TRAIN, EVALUATE)

# Bytes of a dependency that is not in DVC's cache, such as a manifest: nodes get its content with each cell.
MAX_UNCACHED = 8 * 1024 * 1024


class GraphError(ValueError):
    """DVC's graph can't be swept in its present state; the message contains the fix."""


@dataclass(frozen=True)
class Snapshot:
    """All dependencies of a pipeline stage but for code, as they were when the plan was made.

    Attributes:
        stage: such as `train@resnet20-A-0`.
        commands: of the stage, in order.
        files: MD5 of each dependency by its path, which is relative to the repository's root.
        cached: objects of DVC's cache that contain dependencies, by the dependency's path.
        contents: content of the other dependencies, such as manifests, by path.
        params: declared parameters by parameter file, nested as in the file.
        outs: paths of the outputs.
        made_by_train: dependencies that the cell's `train` stage writes in this sweep; `files` lacks them.
    """

    stage: str
    commands: list[str]
    files: dict[str, str] = field(default_factory=dict)
    cached: dict[str, str] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    params: dict[str, dict[str, Any]] = field(default_factory=dict)
    outs: list[str] = field(default_factory=list)
    made_by_train: list[str] = field(default_factory=list)

    @property
    def inputs(self) -> dict[str, Any]:
        """Everything that decides the outputs, in JSON's types."""
        return {"commands": self.commands, "files": self.files, "params": self.params}


class Graph:
    """The pipeline stages of the repository in `root`."""

    def __init__(self, root: Path) -> None:
        # DVC prints a line for each cached stage; the plan's table shows them here.
        logging.getLogger("dvc").setLevel(logging.ERROR)
        self.root = root
        with _sentences():
            self._repo = Repo(str(root), _wait_for_lock=True)
        self._planned: dict[str, tuple[PipelineStage, Snapshot]] = {}
        self._recorded: dict[str, PipelineStage] = {}
        self._index, self._stages = cast("Index | None", None), cast("dict[str, PipelineStage]", {})
        self._remote: str | None = self._repo.config["core"].get("remote")
        self._branch, self._commit = self._git("symbolic-ref", "--quiet", "HEAD"), self._git("rev-parse", "HEAD")

    @property
    def cache(self) -> Path:
        """The folder of DVC's cache."""
        return Path(self._repo.cache.local.path)

    def locked(self) -> AbstractContextManager[None]:
        """Lock out other DVC commands and keep the graph in memory; DVC reads a thousand cells in 10 seconds."""
        return lock_repo(self._repo)

    @contextmanager
    def cells_reserved(self) -> Iterator[None]:
        """Make other sweeps and `dvc repro` refuse to run cells meanwhile, as DVC does for a stage that runs.

        Raises:
            GraphError: another process runs a cell, or a file of DVC is damaged; the message names either.
        """
        with _sentences(), self.locked():
            outs = [self._path(out) for stage in self._cell_stages() for out in stage.outs]
        folders = sorted({str(self.root / path.partition("/")[0]) for path in outs})
        hardlink = self._repo.config["core"].get("hardlink_lock", False)
        lock = f"{self._repo.tmp_dir}/rwlock"
        with ExitStack() as held:
            try:
                held.enter_context(rwlock(self._repo.tmp_dir, self._repo.fs, " ".join(sys.argv), [], folders, hardlink))
            except (RWLockFileCorruptedError, RWLockFileFormatError, UnicodeDecodeError):
                raise GraphError(f"{lock}: damaged; delete it when no other DVC command runs") from None
            except DvcException as error:
                raise GraphError(f"{error}\nWait until that process ends; delete {lock} if there is none") from None
            yield

    def bring_upstream_up_to_date(self, run: bool = True) -> list[str]:
        """Run `dvc repro` for the stages that cells depend on, or only find them, and return the stale stages' names.

        Raises:
            GraphError: a stage failed, after DVC printed the reason, or a file of DVC is damaged.
        """
        with _sentences(), self.locked():
            cells = set(self._cell_stages())
            graph = self._repo.index.graph
            parents = {parent.addressing for cell in cells for parent in graph.successors(cell) if parent not in cells}
            stale = sorted(self._repo.status(targets=sorted(parents), with_deps=True)) if parents else []
            if stale and run and self._repro(sorted(parents)):
                raise GraphError(f"{', '.join(stale)}: failed, so no cell was trained; fix it and rerun the sweep")
            return stale

    def pull_missing(self) -> list[str]:
        """Pull outputs that dvc.lock names, but that are not here, from DVC's default remote if there is one.

        Returns:
            The stages whose outputs were pulled. The remote need not have all outputs.

        Raises:
            GraphError: the remote can't be read.
        """
        if not self._remote:
            return []
        with self.locked():
            missing = [name for name, stage in self._stages_by_name().items() if lacks_only_outputs(stage)]
            if missing:
                try:
                    self._repo.pull(targets=missing, allow_missing=True)
                except DvcException as error:
                    raise GraphError(f"DVC's remote {self._remote!r}: {error}; see `dvc remote list`") from None
                self.forget()
            return [name for name in missing if not lacks_only_outputs(self._stage(name))]

    def cells(self) -> dict[str, list[str]]:
        """The cells of the grid and the names of their stages, `train` first."""
        with self.locked():
            cells: dict[str, list[str]] = {}
            for stage in self._cell_stages():
                group, _, cell = str(stage.addressing).partition("@")
                if group == TRAIN or cell in cells:
                    cells.setdefault(cell, []).append(str(stage.addressing))
            return cells

    def why_stale(self, stage_name: str) -> str | None:
        """The reason why a stage is stale, in a few words; None if it is up to date."""
        with self.locked():
            return why_stale(self._stage(stage_name))

    def changes(self, stage_name: str) -> Changes:
        """What changed of a stage since it was recorded in dvc.lock."""
        with self.locked():
            return changes_of(self._stage(stage_name))

    def restore(self, stage_name: str, dry: bool = False) -> bool:
        """Restore a stage's outputs from DVC's run cache, if it contains a run with the same dependencies.

        Args:
            dry: only tell whether the run cache contains the outputs.
        """
        with self.locked():
            stage = self._stage(stage_name)
            restorable = self._is_restorable(stage)
            if restorable and not dry:
                stage.remove_outs(ignore_remove=False, force=False)
                self._repo.stage_cache.restore(stage)
                stage.save()
                stage.commit()
                self._dump(stage)
            return restorable

    def snapshot(self, stage_name: str, train: Snapshot | None = None) -> Snapshot:
        """Hash a stage's dependencies.

        Args:
            train: the snapshot of the cell's `train`, if that stage runs first and writes some of them.

        Raises:
            GraphError: a dependency is missing, is too large to be sent, or was edited meanwhile.
        """
        pending = set(train.outs) if train else set()
        with self.locked():
            stage = self._stage(stage_name)
            snapshot = Snapshot(
                stage=stage_name,
                commands=stage.cmd if isinstance(stage.cmd, list) else str(stage.cmd).splitlines(),
                outs=[self._path(out) for out in stage.outs],
                made_by_train=sorted(pending & {self._path(dependency) for dependency in stage.deps}),
            )
            for dependency in stage.deps:
                path = self._path(dependency)
                if path in pending:
                    continue
                try:
                    dependency.save()
                except DvcException as error:
                    raise GraphError(f"{stage_name}: {path}: {error}; run `dvc repro {stage_name}`") from None
                if isinstance(dependency, ParamsDependency):
                    snapshot.params[path] = with_changes({}, cast("dict[str, Any]", dependency.hash_info.value))
                else:
                    self._add_files(snapshot, path, dependency)
            # The stage keeps these hashes until it is committed.
            self._planned[stage_name] = stage, snapshot
            return snapshot

    def commit(self, stage_name: str, delivered: Path) -> None:
        """Copy a stage's outputs into the workspace and record them with the hashes of what the stage read.

        Args:
            delivered: the folder of deliveries; see `recorder`.

        Raises:
            OSError: an output can't be copied.
            DvcException: DVC can't record the stage, for example because the disk is full.
            GraphError: the stage read outputs of a `train` that are not the recorded ones, or another branch or an
                earlier commit is checked out, to which dvc.lock belongs now.
        """
        stage, snapshot = self._planned[stage_name]
        self._refuse_another_checkout()
        with self.locked():
            self._take_hashes_of_train(stage, snapshot, read_marker(delivered, stage_name)["files"])
            for path in snapshot.outs:
                _copy_into_place(delivered / stage_name / path, self.root / path)
            stage.save_outs()
            stage.md5 = stage.compute_md5()
            self._repo.stage_cache.save(stage)
            stage.ignore_outs()
            stage.commit()
            self._dump(stage)
        self._recorded[stage_name] = stage

    def carry_over(self, stage_name: str) -> None:
        """Record a stage's outputs of dvc.lock with its dependencies of the snapshot. DVC's run cache gets no entry.

        Raises:
            GraphError: an output is not the recorded one, or another branch or an earlier commit is checked out.
        """
        self._refuse_another_checkout()
        with self.locked():
            stage, _ = self._planned[stage_name]
            if changed := [self._path(out) for out in stage.outs if out.status()]:
                raise GraphError(f"{stage_name}: {', '.join(changed)}: changed meanwhile; run `dvc checkout`")
            self._dump(stage)

    def check_cache(self, snapshots: Iterable[Snapshot]) -> None:
        """Compare the objects of DVC's cache that cells will read with their hashes.

        Raises:
            GraphError: an object is damaged.
        """
        objects = {source: snapshot.files[path] for snapshot in snapshots for path, source in snapshot.cached.items()}
        for source, md5 in objects.items():
            if file_md5(source, localfs) != md5:
                raise GraphError(f"{source}: damaged (MD5 mismatch); delete it and rerun the sweep, which restores it")

    def downstream_is_stale(self) -> bool:
        """Tell whether a stage after the cells, such as the report, is stale."""
        with self.locked():
            return any(stage.status() for stage in self._downstream())

    def bring_downstream_up_to_date(self) -> int:
        """Run `dvc repro` for the stages after the cells, such as the report, alone. Returns its exit status."""
        with self.locked():
            after = [stage.addressing for stage in self._downstream()]
            return self._repro(["--single-item", *after]) if after else 0

    def forget(self) -> None:
        """Read the graph anew, because stages in memory have changed."""
        self._repo._reset()

    def _repro(self, arguments: list[str]) -> int:
        """Run `dvc repro`, which takes the lock meanwhile. Returns its exit status."""
        self._repo.lock.unlock()
        try:
            options = ["--pull"] if self._remote else []
            command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", *options, *arguments]
            return subprocess.run(command, cwd=self.root, check=False).returncode
        finally:
            self._repo.lock.lock()
            self.forget()

    def _refuse_another_checkout(self) -> None:
        before = [self._branch, self._git("merge-base", self._commit, "HEAD") if self._commit else ""]
        if before != [self._git("symbolic-ref", "--quiet", "HEAD"), self._commit]:
            raise GraphError(f"{self._branch or self._commit}: another branch or an earlier commit is checked out")

    def _downstream(self) -> list[Any]:
        """The stages after the cells, in their order. DVC's graph points from a stage to those that it depends on."""
        cells, graph = set(self._cell_stages()), self._repo.index.graph
        before = {stage for cell in cells for stage in networkx.descendants(graph, cell)} | cells
        return [stage for stage in reversed(list(networkx.topological_sort(graph))) if stage not in before]

    def _take_hashes_of_train(self, stage: PipelineStage, snapshot: Snapshot, read: dict[str, str]) -> None:
        """Give `evaluate` the recorded hashes of what its `train` wrote, if they are those of what it read."""
        train = self._recorded.get(snapshot.stage.replace(EVALUATE, TRAIN, 1))
        made: dict[str, Any] = {self._path(out): out for out in train.outs} if train else {}
        for dependency in stage.deps:
            path = self._path(dependency)
            if path in snapshot.made_by_train:
                if path not in made or made[path].hash_info.value != read[path]:
                    raise GraphError(f"{path}: what {snapshot.stage} read is not recorded")
                dependency.hash_info, dependency.meta = made[path].hash_info, made[path].meta
                dependency.hash_name = made[path].hash_name

    def _dump(self, stage: PipelineStage) -> None:
        """Write a stage's entry of dvc.lock in the bytes that DVC would write, without parsing the other entries.

        The file is replaced as a whole: DVC writes in place, so that a kill would empty it.
        """
        path = self.root / LOCK_FILE
        lock = path.read_text(encoding="utf-8") if path.exists() else LOCK_HEAD
        if not lock.startswith(LOCK_HEAD):
            raise DvcException(f"{path}: not written by DVC; run `dvc commit` once and rerun the sweep")
        entry = dumps_yaml({"stages": to_lockfile(stage)}).removeprefix("stages:\n")
        write_atomically(path, with_entry(lock, entry).encode())

    def _git(self, *arguments: str) -> str:
        """The output of a git command; an empty string outside a git repository and for a failed command."""
        done = subprocess.run(["git", *arguments], cwd=self.root, check=False, capture_output=True, text=True)
        return done.stdout.strip()

    def _cell_stages(self) -> list[PipelineStage]:
        return list(self._stages_by_name().values())

    def _stage(self, name: str) -> PipelineStage:
        return self._stages_by_name()[name]

    def _stages_by_name(self) -> dict[str, PipelineStage]:
        """The stages of cells, all `train` first. `repo.stage.collect(name)` would read all of dvc.lock each time."""
        if self._index is not self._repo.index:
            self._index = self._repo.index
            named = {str(each.addressing): each for each in self._index.stages if isinstance(each, PipelineStage)}
            self._stages = {n: s for group in CELL_STAGES for n, s in named.items() if n.startswith(f"{group}@")}
            share_hashes(self._stages.values())
        return self._stages

    def _is_restorable(self, stage: PipelineStage) -> bool:
        if stage.changed_stage() or not stage.deps_cached():
            # The outputs in dvc.lock belong to other dependencies; without their hashes DVC asks the run cache.
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

    def _add_files(self, snapshot: Snapshot, path: str, dependency: Any) -> None:
        """Add a hashed dependency, which may be a folder, to a snapshot."""
        entries = {path: dependency.hash_info.value}
        if dependency.hash_info.isdir:
            entries = {"/".join((path, *key)): entry.value for key, _, entry in dependency.obj}
        for name, md5 in entries.items():
            snapshot.files[name] = md5
            cached = Path(self._repo.cache.local.oid_to_path(md5))
            if cached.exists():
                snapshot.cached[name] = str(cached)
            else:
                snapshot.contents[name] = _content(self.root / name, name, md5)


@contextmanager
def _sentences() -> Iterator[None]:
    """Turn DVC's errors, which name a damaged file, into errors of the user."""
    try:
        yield
    except DvcException as error:
        raise GraphError(f"{error}; fix the file, or restore it with git (`dvc status` shows the place)") from None


def with_entry(lock: str, entry: str) -> str:
    """Replace a stage's entry in the text of dvc.lock, or append the entry."""
    key = entry.partition("\n")[0] + "\n"
    start = lock.find("\n" + key) + 1
    if not start:
        return lock + entry
    end = start + len(key)
    while lock.startswith("    ", end):
        end = lock.find("\n", end) + 1 or len(lock)
    return lock[:start] + entry + lock[end:]


def read_marker(delivered: Path, stage_name: str) -> dict[str, Any]:
    """The inputs of a delivered stage, as it read them."""
    return json.loads((delivered / f"{stage_name}.json").read_text(encoding="utf-8"))


def _copy_into_place(source: Path, target: Path) -> None:
    """Copy a file or folder next to its target, then rename the copy: the source may be on another file system."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    try:
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, partial)
        _remove(target)
        partial.replace(target)
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _content(file: Path, path: str, md5: str) -> bytes:
    if (size := file.stat().st_size) > MAX_UNCACHED:
        raise GraphError(f"{path}: {size} bytes: not in DVC's cache and too large to be sent; run `dvc commit`")
    content = file.read_bytes()
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise GraphError(f"{path}: edited while the plan was made; rerun the sweep")
    return content
