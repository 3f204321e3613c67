"""Read `params.yaml` and check its sections; list every mistake with its place, value and what is allowed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

PARAMS_FILE = Path("params.yaml")

SECTIONS = (
    "preset",
    "data",
    "split",
    "grid",
    "augment",
    "optimizer",
    "schedule",
    "train",
    "evaluate",
    "report",
    "machine",
    "sweep",
    "search",
)

# Parameters of earlier versions, and where they are now.
MOVED = {
    "train.workers": "machine.workers",
    "train.checkpoint_every": "machine.checkpoint_every",
    "evaluate.workers": "machine.workers",
}


class ConfigError(ValueError):
    """`params.yaml` can't be used; the message lists every mistake."""


class Section(BaseModel):
    """A section of `params.yaml`, or several sections that are read together."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Sections = TypeVar("Sections", bound=Section)


def load_params(sections: type[Sections], path: Path = PARAMS_FILE) -> Sections:
    """Read some sections and ignore the others, so that a pipeline stage reads only what `dvc.yaml` declares for it.

    Raises:
        ConfigError: the file is missing or is not YAML, these sections contain mistakes, or a section is unknown.
    """
    values = read_params(path)
    if unknown := [name for name in values if name not in SECTIONS]:
        raise ConfigError(f"{path}: {unknown[0]}: unknown section; use {', '.join(SECTIONS)}")
    return check_sections({name: values[name] for name in sections.model_fields if name in values}, path, sections)


def with_changes(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of nested values with the values of dotted names changed."""
    changed = copy.deepcopy(values)
    for name, value in changes.items():
        *sections, last = name.split(".")
        place = changed
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return changed


def read_params(path: Path) -> dict[str, Any]:
    """Read the file's plain values as YAML 1.2, as DVC does.

    Raises:
        ConfigError: the file is missing or is not a YAML mapping.
    """
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; run from the repository's root, or `make run PRESET=digits`"
        ) from None
    except YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: contains {type(values).__name__}; write a mapping of sections")
    return values


def check_sections(values: dict[str, Any], path: Path, sections: type[Sections]) -> Sections:
    """Turn plain values into sections; `path` is named in the messages.

    Raises:
        ConfigError: one line for each mistake: place, value, what is allowed.
    """
    try:
        return sections.model_validate(values)
    except ValidationError as error:
        places = {section: place for place, section in enumerate(values)}
        in_file_order = sorted(error.errors(), key=lambda details: places.get(str(next(iter(details["loc"]), "")), 99))
        mistakes = [line for details in in_file_order for line in _mistakes(dict(details))]
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
        raise ConfigError("\n".join([f"{path}: {count}", *(f"  {line}" for line in mistakes)])) from None


def _mistakes(details: dict[str, Any]) -> list[str]:
    """Turn one pydantic error into lines of `place: value: what is allowed`."""
    place = _place(details["loc"])
    if details["type"] == "value_error":
        # From resgrid's own validators: each line of the message begins at the place or below.
        separators = {True: "", False: "." if place else ""}
        lines = str(details["ctx"]["error"]).splitlines()
        return [f"{place}{separators[line.startswith('[')]}{line}" for line in lines]
    if details["type"] == "missing":
        return [f"{place}: is missing"]
    if details["type"] == "extra_forbidden" and place in MOVED:
        return [f"{place}: {details['input']!r}: has moved; set {MOVED[place]} instead"]
    if details["type"] == "extra_forbidden":
        return [f"{place}: {details['input']!r}: unknown parameter; remove it"]
    message = details["msg"].removeprefix("Input ")
    return [f"{place}: {details['input']!r}: {message}"]


def _place(location: tuple[str | int, ...]) -> str:
    """Write `("grid", "network", 2)` as `grid.network[2]`."""
    place = ""
    for part in location:
        if isinstance(part, int):
            place += f"[{part}]"
        elif not (part.startswith(("literal[", "constrained-", "function-")) or part == "int"):
            # pydantic adds the branch of a union, such as "literal['auto']", which users have not written.
            place += f".{part}" if place else part
    return place
