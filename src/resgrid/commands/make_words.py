"""Words of `make`'s command line as options: `DRY_RUN=1` is `--dry-run`, `SEEDS='0 1'` is `--seeds 0 --seeds 1`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

_WORD = re.compile(r"([A-Z][A-Z0-9_]*)=(.*)", re.DOTALL)
_SWITCH = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}


def as_options(arguments: Iterable[str], parameters: Iterable[Any]) -> list[str]:
    """Replace each argument of the form `NAME=value` by the option or argument of that name.

    NAME is the option's name in capitals with `_` for `-`. A switch takes 1, yes, true, 0, no or false. An option that
    may be given several times takes several words. An empty value leaves the option out.

    Args:
        parameters: the command's options and arguments, as Click describes them.

    Raises:
        ValueError: the command has no such option, or a switch has another value.
    """
    by_name = {_name(option): (option, parameter) for parameter in parameters for option in parameter.opts}
    return [option for argument in arguments for option in _replace(argument, by_name)]


def _replace(argument: str, by_name: dict[str, tuple[str, Any]]) -> Iterator[str]:
    match = _WORD.fullmatch(argument)
    if match is None:
        yield argument
        return
    name, value = match[1], match[2]
    if name not in by_name:
        raise ValueError(f"{name}: {value!r}: unknown option; use {', '.join(by_name)}")
    option, parameter = by_name[name]
    several = parameter.nargs == -1 or getattr(parameter, "multiple", False)
    if getattr(parameter, "is_flag", False):
        if value.lower() not in {"", *_SWITCH}:
            raise ValueError(f"{name}: {value!r}: not a switch's value; use {', '.join(_SWITCH)}")
        yield from [option] if _SWITCH.get(value.lower()) else []
    else:
        for word in value.split() if several else filter(None, [value]):
            yield from [word] if parameter.param_type_name == "argument" else [option, word]


def _name(option: str) -> str:
    return option.lstrip("-").replace("-", "_").upper()
