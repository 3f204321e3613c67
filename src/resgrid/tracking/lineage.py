"""Facts of a single execution: commit, host, hardware, versions. Records and MLflow contain them, outputs do not."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "mlflow", "dvc", "numpy")

# A sweep runs a cell on a copy of its dependencies, outside the repository, and sets this variable to their commit.
COMMIT = "RESGRID_COMMIT"

# What runs write: differences in these paths don't make a commit dirty.
_OUTPUTS = (":!dvc.lock", ":!reports", ":!runs", ":!sources")


def current_commit() -> str | None:
    """Return the repository's commit, or None outside a repository.

    The commit ends with `-dirty` if tracked files differ from it, or if a code file is not in git.
    """
    if COMMIT in os.environ:
        return os.environ[COMMIT] or None
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *_OUTPUTS)
        added = _git("ls-files", "--others", "--exclude-standard", "--", "src", "pipeline")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}-dirty" if changed or added else commit


def host_name() -> str:
    """Return the machine's name."""
    return socket.gethostname()


def describe_hardware() -> str:
    """Return the name of the GPUs, or of the processor with its number of cores."""
    import torch  # a sweep's driver reads lineage without torch

    from resgrid.hardware import count_cores

    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        return f"{count} × {torch.cuda.get_device_name()}" if count > 1 else torch.cuda.get_device_name()
    return f"{_processor()}, {count_cores()} cores"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that compute or record."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
