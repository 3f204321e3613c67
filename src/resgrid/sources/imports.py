"""Reads what a Python file imports from its syntax, and refuses imports at run time that it can't follow."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# The parts of importlib that import nothing, or whose imports can be followed.
_IMPORTLIB = ("importlib.import_module", "importlib.metadata", "importlib.resources", "importlib.util")

# Modules, functions and methods that run code which isn't in the syntax tree.
_RUNNING_MODULES = {"builtins", "code", "codeop", "imp", "pkgutil", "runpy", "zipimport"}
_RUNNING_FUNCTIONS = {"__builtins__", "__import__", "compile", "eval", "exec"}
_RUNNING_METHODS = {
    "__builtins__",
    "__import__",
    "exec_module",
    "load_module",
    "module_from_spec",
    "run_module",
    "run_path",
    "spec_from_file_location",
    "spec_from_loader",
}


class Import(NamedTuple):
    """A name that a file imports.

    Attributes:
        name: absolute and dotted: a module, or a name in a module; `a.b.*` means any module of the package a.b.
        line: the line of the import.
        at_run_time: whether `import_module` imports it.
    """

    name: str
    line: int
    at_run_time: bool = False


def imports_of(tree: ast.Module, package: str, place: str) -> Iterator[Import]:
    """Find everything that a file imports: in functions and under `TYPE_CHECKING` as well, and by `import_module`.

    Args:
        tree: the file's syntax tree.
        package: the package that relative imports start from, such as `resgrid.data`.
        place: how errors name the file.

    Raises:
        ValueError: the file imports or runs code in a way that can't be followed.
    """
    kinds = (ast.Import, ast.ImportFrom, ast.Call, ast.Attribute, ast.Name)
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    for line, name in _refused(nodes, package):
        raise ValueError(
            f"{place}:{line}: {name}: it can run code that the import closure doesn't find; "
            'write an import statement, import_module("module") or import_module(f"package.{name}")'
        )
    for node in nodes:
        match node:
            case ast.Import() | ast.ImportFrom():
                if isinstance(node, ast.ImportFrom):
                    yield Import(_base(node, package), node.lineno)
                yield from (Import(name, node.lineno) for name, _ in _names(node, package))
            case ast.Call() if name := _argument(node):
                yield Import(name, node.lineno, at_run_time=True)


def _refused(nodes: Sequence[ast.AST], package: str) -> Iterator[tuple[int, str]]:
    """The lines and names of what can't be followed."""
    calls = {node.func for node in nodes if isinstance(node, ast.Call) and _argument(node)}
    parts = {node.value for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        match node:
            case ast.Import() | ast.ImportFrom():
                yield from ((node.lineno, name) for name, alias in _names(node, package) if _hides(name, alias))
            case ast.Attribute(value=ast.Name(id="importlib"), attr=name) if _hides(f"importlib.{name}"):
                yield node.lineno, f"importlib.{name}"
            case ast.Attribute(attr=name) if name in _RUNNING_METHODS:
                yield node.lineno, name
            case ast.Attribute(attr=name) | ast.Name(id=name) if name == "import_module" and node not in calls:
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Load()):
                if name in _RUNNING_FUNCTIONS or (name == "importlib" and node not in parts):
                    yield node.lineno, name


def _names(node: ast.Import | ast.ImportFrom, package: str) -> list[tuple[str, str | None]]:
    """The absolute names that a statement imports, with their aliases; `module.*` for a star."""
    start = f"{_base(node, package)}." if isinstance(node, ast.ImportFrom) else ""
    return [(start + alias.name, alias.asname) for alias in node.names]


def _base(node: ast.ImportFrom, package: str) -> str:
    """The absolute name of the module that `from … import` takes names from."""
    parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    return ".".join([*parents, *([node.module] if node.module else [])])


def _hides(name: str, alias: str | None = None) -> bool:
    """Tell whether an imported name can import more at run time without being noticed here."""
    top, _, last = name.partition(".")[0], *name.rpartition(".")[1:]
    if top == "importlib":
        known = any(f"{part}.".startswith(f"{name}.") or f"{name}.".startswith(f"{part}.") for part in _IMPORTLIB)
        return not known or last in _RUNNING_METHODS or (alias is not None and last in ("importlib", "import_module"))
    return top in _RUNNING_MODULES


def _argument(call: ast.Call) -> str | None:
    """What a call of `import_module` imports: a name, or `package.*` for an f-string; None for all other calls."""
    match call:
        case ast.Call(
            func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"), args=[given], keywords=[]
        ):
            match given:
                case ast.Constant(value=str(name)) if not name.startswith("."):
                    return name
                case ast.JoinedStr(values=[ast.Constant(value=str(prefix)), ast.FormattedValue()]):
                    return f"{prefix}*" if prefix.endswith(".") else None
    return None
