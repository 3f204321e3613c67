"""What DVC says of a pipeline stage's state, in few words and at little cost: a grid may have a thousand cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from inspect import unwrap
from typing import Any

from dvc.dependency.param import ParamsDependency
from dvc.stage import PipelineStage


def share_hashes(stages: Iterable[PipelineStage]) -> None:
    """Share the hash of a dependency, and the content of a parameter file, between stages.

    What the stages themselves make is left out, because it changes while they run.

    Args:
        stages: as DVC keeps them in memory while its lock is held.
    """
    results: dict[tuple[Any, ...], Any] = {}

    def once(function: Callable[..., Any], *key: object) -> Callable[..., Any]:
        def result(*arguments: Any, **options: Any) -> Any:
            if key not in results:
                results[key] = function(*arguments, **options)
            return results[key]

        return result

    made = {out.fs_path for stage in stages for out in stage.outs}
    for dependency in (each for stage in stages for each in stage.deps if each.fs_path not in made):
        if isinstance(dependency, ParamsDependency):
            dependency.read_params = once(dependency.read_params, dependency.fs_path, *dependency.params)
        else:
            dependency._build = once(dependency._build, dependency.fs_path, dependency.hash_name)


def why_stale(stage: PipelineStage) -> str | None:
    """Summarize a stage's status; None if it is up to date."""
    changes = _merged(stage)
    if not changes:
        return None
    if not any(out.hash_info for out in stage.outs):
        return "never run"
    outs = changes.pop("changed outs", {})
    counted = {f"{len(outs)} output{'s' if len(outs) > 1 else ''}": ", ".join(sorted(set(outs.values())))}
    return "; ".join(_leaves(changes | (counted if outs else {})))


def _leaves(changes: Mapping[Any, Any]) -> Iterator[str]:
    for name, change in changes.items():
        if isinstance(change, dict):
            yield from _leaves(change)
        else:
            yield f"{name} {change}".strip()


@dataclass(frozen=True)
class Changes:
    """What changed of a stage since it was recorded in dvc.lock.

    Attributes:
        names: dependencies, parameter files and outputs that changed; `changed command` for the command.
        recorded: MD5 of the dependencies in dvc.lock, by path.
    """

    names: list[str]
    recorded: dict[str, str]


def changes_of(stage: PipelineStage) -> Changes:
    """List what changed of a stage."""
    names: list[str] = []
    for kind, changed in _merged(stage).items():
        names += sorted(changed) if isinstance(changed, dict) else [kind]
    recorded = {each.def_path: each.hash_info.value for each in stage.deps if each.hash_info}
    return Changes(names, {path: md5 for path, md5 in recorded.items() if isinstance(md5, str)})


def _merged(stage: PipelineStage) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for entry in _status(stage):
        changes |= {entry: ""} if isinstance(entry, str) else entry
    return changes


def lacks_only_outputs(stage: PipelineStage) -> bool:
    """Tell whether a stage is as in dvc.lock, but for files that are not here."""
    changes = list(_leaves(dict(enumerate(_status(stage)))))
    return bool(changes) and all(change.endswith((" deleted", " not in cache")) for change in changes)


def _status(stage: PipelineStage) -> list[Any]:
    """DVC's status of a stage, such as `[{"changed deps": {"params.yaml": {"train.max_steps": "modified"}}}]`."""
    # Not locked anew for each stage, which takes longer than the rest: the whole graph is locked.
    return unwrap(type(stage).status)(stage).get(str(stage.addressing), [])
