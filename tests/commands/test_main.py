"""The program `resgrid`: its help, what it imports, and whose code it runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from commands.conftest import Resgrid
from resgrid.commands.main import COMMANDS, app
from support.repository import ROOT

SUMMARY = "digits: digits, 6 networks × 5 seeds = 30 {} of 420 steps of 32 images\n"


def test_the_help_lists_each_command_with_its_first_sentence(resgrid: Resgrid, tmp_path: Path) -> None:
    lines = resgrid(tmp_path, "--help").stdout.splitlines()
    listed = [line.split(maxsplit=1) for line in lines[lines.index("Commands:") + 1 : -2]]
    assert tuple(name for name, _ in listed) == COMMANDS
    assert all(text.endswith(".") and "..." not in text for _, text in listed)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_help_with_examples(command: str) -> None:
    assert (
        f"  Examples:\n    resgrid {command}"
        in CliRunner().invoke(app, [command, "--help"], prog_name="resgrid").output
    )


def test_the_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "numpy", "ray", "dvc", "mlflow", "pydantic", "pandas")
    program = (
        "import sys; from resgrid.commands.main import app\n"
        "try: app(['--help'], prog_name='resgrid')\n"
        f"except SystemExit: print([name for name in {heavy} if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert printed.stdout.splitlines()[-1] == "[]"


def test_a_command_works_from_a_folder_below_the_root(resgrid: Resgrid) -> None:
    assert resgrid(ROOT / "docs/results", "preset").stderr == SUMMARY.format("cells")


def test_a_command_outside_a_repository(resgrid: Resgrid, tmp_path: Path) -> None:
    done = resgrid(tmp_path, "preset")
    assert done.stderr == f"error: {tmp_path}: not in a resgrid repository; change to a folder of one\n"
    assert done.returncode == 1


def test_a_copied_tree_runs_its_own_code(resgrid: Resgrid, tree: Path) -> None:
    assert resgrid(tree / "src/resgrid", "preset").stderr == SUMMARY.format("CELLS")
    shown = subprocess.run(
        [sys.executable, "-c", "import pipeline, resgrid; print(resgrid.__file__)"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == f"{tree}/src/resgrid/__init__.py\n"


def test_an_experiment_in_a_temporary_tree_records_in_the_repository(tree: Path, tmp_path: Path) -> None:
    copy = tmp_path / ".dvc/tmp/exps/standalone/tmp1"
    shutil.copytree(tree / "pipeline", copy / "pipeline")
    program = "import os, pipeline; print([os.environ.get(name) for name in ('RESGRID_STATE', 'RESGRID_TRACKING')])"

    def folders(working: Path, repository: Path) -> str:
        environ = os.environ | {"DVC_ROOT": str(repository)}  # as DVC sets it
        command = [sys.executable, "-c", program]
        return subprocess.run(command, cwd=working, env=environ, capture_output=True, text=True, check=True).stdout

    assert folders(copy, tmp_path) == f"['{tmp_path}/.resgrid', '{tmp_path}/mlruns']\n"
    assert folders(tree, tree) == "[None, None]\n"


def test_an_experiment_is_of_the_whole_grid(resgrid: Resgrid, tree: Path) -> None:
    assert resgrid(tree, "sweep", "EXP=low", "SELECT=plain8").stderr == (
        "error: --exp: 'low': an experiment is of the whole grid; omit --select, --seeds and --dry-run\n"
    )


def test_paths_are_relative_to_the_folder_of_the_user(tree: Path) -> None:
    program = (
        "from resgrid.commands.repository import enter_repository, user_path\n"
        "enter_repository(); print(user_path('a/w.pt'), user_path('../w.pt'), user_path('/w.pt'))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=tree / "src", capture_output=True, text=True, check=True
    )
    assert printed.stdout == "src/a/w.pt w.pt /w.pt\n"


def test_a_fault_of_resgrid_keeps_its_traceback_and_says_how_to_report_it(resgrid: Resgrid, tree: Path) -> None:
    (tree / "src/resgrid/commands/verify.py").write_text('def verify() -> None:\n    """Fail."""\n    1 / 0\n')
    lines = resgrid(tree, "verify").stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-3:] == [
        "ZeroDivisionError: division by zero",
        "This is a fault of resgrid. Please open an issue with these lines and the output of:",
        "resgrid --version",
    ]
