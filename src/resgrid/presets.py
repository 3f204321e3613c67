"""Presets: complete, commented `params.yaml` files by name, put in place without overwriting edits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resgrid.artifacts.files import write_atomically
from resgrid.config.reading import PARAMS_FILE, ConfigError, read_params
from resgrid.config.whole import check_params

PRESETS = Path("presets")


class EditedParamsError(ValueError):
    """`params.yaml` contains edits that the preset would overwrite; nothing was changed."""


def preset_names() -> list[str]:
    """Return the names of the files in `presets/`, sorted."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def preset_path(name: str) -> Path:
    """Return the file of a preset.

    Raises:
        ConfigError: there is no preset of that name.
    """
    path = PRESETS / f"{name}.yaml"
    if name not in preset_names():
        raise ConfigError(f"preset: {name!r}: no such preset; use {', '.join(preset_names())}")
    return path


def edits(params: Path = PARAMS_FILE) -> list[str]:
    """Return the changes of `params.yaml` since its preset was put in place, as lines of `place: before → now`.

    If its preset is unknown, the whole file is an edit. A file that equals any preset has no edits.
    """
    if not params.exists() or any(
        params.read_bytes() == (PRESETS / f"{name}.yaml").read_bytes() for name in preset_names()
    ):
        return []
    now = dict(leaves(read_params(params)))
    origin = now.get("preset")
    if origin not in preset_names():
        return [f"preset: {origin!r}: not a preset, so the whole file is your own"]
    before = dict(leaves(read_params(preset_path(str(origin)))))
    places = [*before, *(place for place in now if place not in before)]
    changed = [
        f"{place}: {before.get(place, 'absent')} → {now.get(place, 'absent')}"
        for place in places
        if before.get(place) != now.get(place) or (place in before) != (place in now)
    ]
    return changed or ["comments or formatting only"]


def apply_preset(name: str, replace: bool, params: Path = PARAMS_FILE) -> None:
    """Replace `params.yaml` by a preset's file.

    Args:
        replace: proceed although there are edits, and keep the edited file as `params.yaml.<n>.bak`.

    Raises:
        ConfigError: there is no such preset, or it contains mistakes.
        EditedParamsError: there are edits and `replace` is false.
    """
    source = preset_path(name)
    check_params(read_params(source), source)
    if found := edits(params):
        if not replace:
            raise EditedParamsError(
                "\n".join(
                    [
                        f"{params}: contains edits, which the preset {name} would overwrite; nothing was changed:",
                        *(f"  {edit}" for edit in found),
                        "To run with these edits, omit the preset. To keep them as a .bak file and continue:",
                        f"  make preset NAME={name} REPLACE=1",
                    ]
                )
            )
        params.rename(_free_backup_name(params))
    write_atomically(params, source.read_bytes())


def _free_backup_name(params: Path) -> Path:
    number = 1
    while (backup := params.with_name(f"{params.name}.{number}.bak")).exists():
        number += 1
    return backup


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each parameter of nested sections with its dotted name, such as `optimizer.lr`."""
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
