"""Makes a cell fail when it opens a file of the repository that its stage doesn't declare. Standard library only.

A cell imports this file as `sitecustomize`, before its own code. The check covers what Python opens: not what a library
opens in C, and not whether a file exists.
"""

import importlib.machinery
import importlib.util
import os
import sys

REPOSITORY = os.environ["RESGRID_REPOSITORY"]
READABLE = tuple(os.environ["RESGRID_READABLE"].split(os.pathsep))


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _refuse_undeclared(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or not isinstance(arguments[0], (str, bytes)):
        return
    path = os.path.abspath(os.fsdecode(arguments[0]))
    if _is_below(path, REPOSITORY) and not any(_is_below(path, folder) for folder in READABLE):
        raise PermissionError(f"{path}: not declared by this stage; add it to the stage's deps in dvc.yaml")


def _run_next_sitecustomize() -> None:
    """Run the environment's own `sitecustomize`, which this file hides."""
    here = os.path.dirname(os.path.abspath(__file__))
    others = [path for path in sys.path if os.path.abspath(path or ".") != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    _run_next_sitecustomize()
sys.addaudithook(_refuse_undeclared)
