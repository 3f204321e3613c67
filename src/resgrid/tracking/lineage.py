"""What is true of one occasion alone: commit, host, versions. It goes into records and MLflow, never into outs."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "mlflow", "dvc", "numpy")


# A sweep runs a cell on a copy of its dependencies, outside the repository, and says here which commit they are of.
COMMIT = "RESGRID_COMMIT"


def current_commit() -> str | None:
    """The repository's commit, with `-dirty` where tracked files differ from it; None outside a repository."""
    if COMMIT in os.environ:
        return os.environ[COMMIT] or None
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!dvc.lock", ":!runs", ":!reports")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}-dirty" if changed else commit


def host_name() -> str:
    return socket.gethostname()


def versions() -> dict[str, str]:
    """Of Python and of the installed packages that compute or record."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
