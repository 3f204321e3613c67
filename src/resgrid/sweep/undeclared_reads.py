"""Put before a cell's own code as `sitecustomize`: a cell that opens a file of the repository that it doesn't declare
fails, instead of depending on it in silence. Standard library only.

It sees what Python opens: not what a library opens by itself, in C, and no mere look at whether a file is there.
"""

import importlib.machinery
import importlib.util
import os
import sys

ROOT = os.environ["RESGRID_GUARD_ROOT"]
ALLOWED = tuple(os.environ["RESGRID_GUARD_ALLOWED"].split(os.pathsep))


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _refuse_undeclared(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open" or not isinstance(arguments[0], (str, bytes)):
        return
    path = os.path.abspath(os.fsdecode(arguments[0]))
    if _is_below(path, ROOT) and not any(_is_below(path, folder) for folder in ALLOWED):
        raise PermissionError(
            f"{path} is a file of the repository that this stage doesn't declare: add it to its deps in dvc.yaml"
        )


def _run_the_next_sitecustomize() -> None:
    """There may be another one, which this file stands before."""
    here = os.path.dirname(os.path.abspath(__file__))
    others = [path for path in sys.path if os.path.abspath(path or ".") != here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    _run_the_next_sitecustomize()
sys.addaudithook(_refuse_undeclared)
