"""Digests of what files mean: edits of Python that can't change a result leave its digest unchanged.

This module imports only the standard library, and gives the same digests on Python 3.11, 3.12 and 3.13.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

# Fields that depend on how a program is written (the prefix of u"") or follow from a node's position (ctx).
_WITHOUT_MEANING = {"kind", "type_comment", "ctx"}

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def digest_of_file(path: Path) -> str:
    """Digest a Python file by its meaning, and any other file by its bytes.

    Raises:
        OSError: the file can't be read.
        ValueError: a Python file is not valid Python.
    """
    if path.suffix == ".py":
        return digest_of_code(path.read_text(encoding="utf-8"), str(path))
    return digest_of_bytes(path.read_bytes())


@cache
def digest_of_code(text: str, place: str = "code") -> str:
    """Digest a Python program by its syntax tree: comments, blank lines and formatting don't count.

    Docstrings count only if the program mentions `__doc__`.

    Raises:
        ValueError: the text is not valid Python; `place` names it.
    """
    return digest_of_tree(parse_code(text, place), text)


def digest_of_tree(tree: ast.Module, text: str) -> str:
    """Digest the syntax tree of a program's text, as `digest_of_code` does."""
    return digest_of_bytes(ascii(_canonical(tree, keep_docstrings="__doc__" in text)).encode())


def parse_code(text: str, place: str) -> ast.Module:
    """Parse a Python program.

    Raises:
        ValueError: the text is not valid Python; `place` names it.
    """
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f"{place}:{error.lineno}: {error.msg}; correct the syntax") from error


def digest_of_bytes(data: bytes) -> str:
    """Return the first 32 hexadecimal digits of the SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()[:32]


def _canonical(value: Any, keep_docstrings: bool) -> Any:
    """Convert a node or a field to nested tuples and lists, whose `ascii()` differs if the programs differ.

    Python versions disagree on which empty fields a node has, so that these are left out.
    """
    if isinstance(value, list):
        return [_canonical(item, keep_docstrings) for item in value]
    if not isinstance(value, ast.AST):
        return value
    parts: list[Any] = [type(value).__name__]
    for name in value._fields:
        field = getattr(value, name, None)
        if name in _WITHOUT_MEANING or field is None:
            continue
        if isinstance(value, ast.JoinedStr):
            field = _merged(field)
        elif isinstance(value, ast.Delete):
            field = list(_flattened(field))
        elif name == "body" and not keep_docstrings and isinstance(value, _DOCUMENTED) and _has_docstring(field):
            field = field[1:]
        if field != []:
            parts.append((name, _canonical(field, keep_docstrings)))
    return tuple(parts)


def _has_docstring(body: list[ast.stmt]) -> bool:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *_]:
            return True
    return False


def _merged(parts: list[ast.expr]) -> list[ast.expr]:
    """Merge an f-string's adjacent constants and drop empty ones: Python versions split f-strings differently."""
    merged: list[ast.expr] = []
    for part in parts:
        match (merged[-1:], part):
            case (_, ast.Constant(value="")):
                pass
            case ([ast.Constant(value=str(before))], ast.Constant(value=str(after))):
                merged[-1] = ast.Constant(before + after)
            case _:
                merged.append(part)
    return merged


def _flattened(targets: list[ast.expr]) -> Iterator[ast.expr]:
    """The targets of a `del`, which a formatter may put into parentheses: `del (a, b)` is `del a, b`."""
    for target in targets:
        if isinstance(target, ast.Tuple):
            yield from _flattened(target.elts)
        else:
            yield target
