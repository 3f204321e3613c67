"""Finds the project files that a pipeline stage's result can depend on: the import closure of its script."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path

from resgrid.sources.imports import Import, imports_of
from resgrid.sources.meaning import digest_of_bytes, digest_of_tree, parse_code

# Modules that can't change a result, each with all modules below it.
OBSERVERS = (
    "resgrid.artifacts.run_record",  # writes facts of one execution, which DVC doesn't hash
    "resgrid.config.machine",  # parameters that decide how fast a result is computed, and not which result
    "resgrid.sources",  # describes the code and computes nothing
    "resgrid.terminal",  # prints, and turns the command line into a stage's arguments
    "resgrid.tracking",  # sends what a stage computed to MLflow; no stage reads it back
    "resgrid.training.progress",  # prints
)


@dataclass(frozen=True)
class Closure:
    """The code of a pipeline stage.

    Attributes:
        files: the digest of each file by its path, which is relative to the repository's root and uses `/`.
        packages: top-level names of the other packages that these files import, without the standard library.
    """

    files: dict[str, str]
    packages: frozenset[str]


def import_closure(
    script: Path, chosen: Mapping[str, Collection[str]] | None = None, without: Collection[str] = ()
) -> Closure:
    """Find the script, all project modules that it imports, directly or not, and the data files of their packages.

    Imports in functions and under `TYPE_CHECKING` count as well: all code that may run is code of the stage.

    Args:
        script: such as `pipeline/train.py`; the project's packages are in its repository's root and in `src`.
        chosen: for a package whose modules are imported by a computed name, the modules that this name can be;
            by default all of them. An example is `{"resgrid.models.families": ["vgg"]}`.
        without: modules to leave out, with all modules below them; nothing is followed through them.

    Raises:
        OSError: a file can't be read.
        ValueError: a file is not valid Python or imports something that can't be followed, or `chosen` names a module
            that doesn't exist.
    """
    root, chosen = script.resolve().parents[1], chosen or {}
    files: dict[str, str] = {}
    others: set[str] = set()
    seen: set[str] = set()
    waiting = [f"{script.parent.name}.{script.stem}"]
    while waiting:
        name = waiting.pop()
        if not name or name in seen:
            continue
        seen.add(name)
        parent = name.rpartition(".")[0]
        waiting.append(parent)  # an import runs the packages that the module lies in, left out or not
        if any(f"{name}.".startswith(f"{module}.") for module in without):
            continue
        path = _module_file(root, name)
        if path is None:  # a name in a module, or another package's module
            others.add(name.partition(".")[0])
            continue
        is_package, place = path.name == "__init__.py", path.relative_to(root).as_posix()
        imports, files[place] = _read(place, name if is_package else parent, path.read_text(encoding="utf-8"))
        waiting += chain.from_iterable(_names_meant(root, chosen, imported, place) for imported in imports)
        for data in _data_files(path.parent) if is_package else ():
            files[data.relative_to(root).as_posix()] = digest_of_bytes(data.read_bytes())
    packages = {name for name in others if name not in sys.stdlib_module_names and _module_file(root, name) is None}
    return Closure(dict(sorted(files.items())), frozenset(packages))


@cache
def _read(place: str, package: str, text: str) -> tuple[tuple[Import, ...], str]:
    """Find what a file imports, and its digest. The cache is keyed by the text, so that it never hides an edit."""
    tree = parse_code(text, place)
    return tuple(imports_of(tree, package, place)), digest_of_tree(tree, text)


def _module_file(root: Path, name: str) -> Path | None:
    """The file of a project module; None for other packages' modules, and for names that are not modules."""
    relative = name.replace(".", "/")
    for base in (f"{root}/src/{relative}", f"{root}/{relative}"):
        for path in (Path(f"{base}/__init__.py"), Path(f"{base}.py")):
            if path.is_file():
                return path
    return None


def _names_meant(root: Path, chosen: Mapping[str, Collection[str]], imported: Import, place: str) -> list[str]:
    """List the modules, and the names that may be modules, that an import can mean."""
    if not imported.name.endswith(".*"):
        return [imported.name]
    package = imported.name.removesuffix(".*")
    file = _module_file(root, package)
    if file is None or file.name != "__init__.py":
        if imported.at_run_time:
            raise ValueError(
                f"{place}:{imported.line}: {imported.name}: {package} is not a package of this project, so that its "
                "modules can't be listed; write an import statement"
            )
        return [package]
    paths = (path.relative_to(file.parent).with_suffix("") for path in file.parent.rglob("*.py"))
    modules = {".".join([package, *path.parts]).removesuffix(".__init__") for path in paths}
    wanted = {f"{package}.{module}" for module in chosen[package]} if package in chosen else modules
    if not wanted <= modules:
        raise ValueError(
            f"{place}:{imported.line}: {', '.join(sorted(wanted - modules))}: no such module; choose from "
            + ", ".join(sorted(modules - {package}))
        )
    return [package, *wanted]


def _data_files(folder: Path) -> Iterator[Path]:
    """Find the files of a package that are not Python, such as templates, without hidden ones and caches."""
    for path in folder.iterdir():
        if path.name.startswith(".") or path.name == "__pycache__" or path.suffix in (".py", ".pyc"):
            continue
        if not path.is_dir():
            yield path
        elif not (path / "__init__.py").exists():
            yield from _data_files(path)
