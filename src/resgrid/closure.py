"""Which project files a pipeline stage's code consists of: its import closure, read from the syntax.

DVC's code dependencies of a stage are this set (a test holds them together), and a cell's fingerprint hashes it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import resgrid

PACKAGE_ROOT = Path(resgrid.__file__).resolve().parents[1]


def import_closure(script: Path) -> dict[str, Path]:
    """The script and all project modules that it imports, directly or not, with their packages' `__init__.py`.

    Imports inside functions and under `TYPE_CHECKING` count as well: whatever may run is code of the stage.

    Args:
        script: such as `pipeline/train.py`; its package's folder lies beside `src`.

    Returns:
        Module names, such as `resgrid.data.reading.batches`, and their files.
    """
    script = script.resolve()
    roots = (PACKAGE_ROOT, script.parents[1])
    start = f"{script.parent.name}.{script.stem}"
    found: dict[str, Path] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        path = _file_of(name, roots)
        if path is None or name in found:
            continue
        found[name] = path
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        waiting += [name.rpartition(".")[0], *_imported_names(path, package)]
    return dict(sorted(found.items()))


def _file_of(name: str, roots: tuple[Path, ...]) -> Path | None:
    """The file of a project module; None for other packages' modules, and for names that are no module."""
    if not name:
        return None
    for root in roots:
        base = root.joinpath(*name.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return path
    return None


def _imported_names(path: Path, package: str) -> Iterator[str]:
    """Everything that a file's import statements may mean: modules, and names that may be modules."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
