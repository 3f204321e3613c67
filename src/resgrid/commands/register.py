"""Command `register`: commit the claims' rules and the grid before the first run."""

from __future__ import annotations

import subprocess
from pathlib import Path

from resgrid.terminal import console


def register() -> None:
    """Commit the rules and the grid before the first run.

    Writes registration.json, with digests of the claims' rules and margins and of the parameters, and commits this file
    alone. Verdicts of later runs are labeled registered, unless rules, margins, grid or parameters change.

    \b
    Examples:
      resgrid register
    """
    from resgrid.config.reading import load_params
    from resgrid.config.report import ReportParams
    from resgrid.reporting.registration import REGISTRATION, make_registration

    make_registration(load_params(ReportParams)).write(Path(REGISTRATION))
    subprocess.run(["git", "add", "--", REGISTRATION], check=True)
    if subprocess.run(["git", "diff", "--cached", "--quiet", "--", REGISTRATION], check=False).returncode == 0:
        console.print("register: these rules and this grid are registered already", markup=False)
        return
    message = "Register the claims' rules and the grid"
    subprocess.run(["git", "commit", "--quiet", "--message", message, "--", REGISTRATION], check=True)
    console.print(f"register: {REGISTRATION} is committed; run `make run`", markup=False)
