"""A sweep as a DVC experiment: its parameters are set first, and its results saved for `dvc exp show`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.experiments.refs import ExpRefInfo
from dvc.repo.experiments.utils import check_ref_format
from dvc.utils.hydra import apply_overrides

from resgrid.artifacts.files import write_atomically
from resgrid.config.reading import PARAMS_FILE, read_params
from resgrid.config.whole import Config, check_params


def set_parameters(changes: list[str]) -> Config:
    """Change parameters in `params.yaml` as `dvc exp run --set-param` does, which keeps the comments, and return them.

    Args:
        changes: such as `optimizer.lr=0.05`, in Hydra's grammar.

    Raises:
        ValueError: a change can't be read, names no parameter, or is a mistake. The file stays as it was.
    """
    read_params(PARAMS_FILE)
    with tempfile.TemporaryDirectory() as folder:
        changed = Path(shutil.copy(PARAMS_FILE, folder))
        try:
            apply_overrides(changed, changes)
        except DvcException as error:
            reason = str(error.__cause__ or error).splitlines()[0].removesuffix(".")
            raise ValueError(f"--set: {' '.join(changes)!r}: {reason}; use the form optimizer.lr=0.05") from None
        config = check_params(read_params(changed), PARAMS_FILE)
        write_atomically(PARAMS_FILE, changed.read_bytes())
    return config


def check_name(name: str) -> None:
    """Check that the results can be saved under a name, before they are computed.

    Raises:
        ValueError: the present commit has an experiment of this name, or git allows no such name.
    """
    try:
        with Repo() as repo:
            git = repo.experiments.scm
            ref = ExpRefInfo(git.get_rev(), name)
            check_ref_format(git, ref)
            taken = git.get_ref(str(ref)) is not None
    except DvcException as error:
        raise ValueError(f"--exp: {name!r}: {error}") from None
    if taken:
        raise ValueError(f"--exp: {name!r}: the name is taken; use another, or run `dvc exp remove {name}`")


def save_experiment(name: str) -> int:
    """Save the workspace, in which every stage is up to date, as an experiment. Returns DVC's exit status."""
    return subprocess.run([sys.executable, "-m", "dvc", "exp", "run", "--name", name], check=False).returncode
