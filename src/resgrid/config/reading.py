"""Read `params.yaml` and check its sections; list every mistake as `parameter: value: problem; fix`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

PARAMS_FILE = Path("params.yaml")
_VALUES_LIMIT = 100_000  # a few aliases of aliases expand to billions of values
_SHOWN = 200  # letters of a value in a message

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


Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # the largest seed of numpy and scikit-learn

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
        section = changed
        for key in sections:
            section = section.setdefault(key, {})
        section[last] = value
    return changed


def read_params(path: Path) -> dict[str, Any]:
    """Read the file's plain values as YAML 1.2, as DVC does.

    Raises:
        ConfigError: the file is missing, or is not a YAML mapping in UTF-8 of moderate size and depth.
    """
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8-sig"))
        _refuse_bombs(values)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: does not exist; run from the repository's root, or `make run PRESET=digits`"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply; write a mapping of sections") from None
    except YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from None
    except ValueError as error:  # such as a date that doesn't exist
        raise ConfigError(f"{path}: {error}; fix this value") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: contains {type(values).__name__}; write a mapping of sections")
    return values


def _refuse_bombs(values: Any) -> None:
    """Walk over all values with aliases expanded.

    Raises:
        ValueError: there are too many of them.
        RecursionError: they are nested too deeply, or contain themselves.
    """
    count = 0

    def visit(value: Any) -> None:
        nonlocal count
        count += 1
        if count > _VALUES_LIMIT:
            raise ValueError(f"its aliases expand to more than {_VALUES_LIMIT:,} values")
        if isinstance(value, dict):
            for key, item in value.items():
                visit(key)
                visit(item)
        elif isinstance(value, (list, tuple, set)):
            for item in value:
                visit(item)

    visit(values)


def check_sections(values: dict[str, Any], path: Path, sections: type[Sections]) -> Sections:
    """Turn plain values into sections; `path` is named in the messages.

    Raises:
        ConfigError: one line for each mistake: parameter, value, problem, fix.
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
    """Turn one pydantic error into lines of `parameter: value: problem; fix`."""
    place = _place(details["loc"])
    if details["type"] == "value_error":
        # From resgrid's own validators: each line of the message begins with the rest of the parameter's name.
        separator = "." if place else ""
        lines = str(details["ctx"]["error"]).splitlines()
        return [f"{place}{line}" if line.startswith(("[", ":")) else f"{place}{separator}{line}" for line in lines]
    if details["type"] == "missing":
        return [f"{place}: is missing; add it"]
    value = _shown(details["input"])
    if details["type"] == "extra_forbidden" and place in MOVED:
        return [f"{place}: {value}: has moved; set {MOVED[place]} instead"]
    if details["type"] == "extra_forbidden":
        return [f"{place}: {value}: unknown parameter; remove it"]
    message = details["msg"].removeprefix("Input ")
    return [f"{place}: {value}: {message[0].lower()}{message[1:]}"]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _place(location: tuple[str | int, ...]) -> str:
    """Format `("grid", "network", 2)` as `grid.network[2]`."""
    place = ""
    for part in location:
        if isinstance(part, int):
            place += f"[{part}]"
        # pydantic adds the branch of a union, such as "literal['auto']", which is not in the file.
        elif not (part.startswith(("literal[", "constrained-", "function-")) or part == "int"):
            place += f".{part}" if place else part
    return place
