"""The program `resgrid`: its commands by name, each imported only when it is needed."""

from __future__ import annotations

import atexit
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from resgrid.commands.make_words import as_options
from resgrid.commands.repository import enter_repository, run_code_of_this_tree
from resgrid.terminal import plain_errors

COMMANDS = (
    "power",
    "register",
    "run",
    "sweep",
    "search",
    "report",
    "dashboard",
    "track",
    "tidy",
    "register-champion",
    "serve",
    "verify",
    "accept",
    "compare",
    "preset",
    "complexity",
    "evaluate-weights",
    "export",
    "predict",
)


class Command(TyperCommand):
    """A command that runs in the repository's root and also takes options as `make` passes them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse options such as `--dry-run` and words such as `DRY_RUN=1`."""
        return super().parse_args(ctx, as_options(args, self.get_params(ctx)))

    def invoke(self, ctx: Any) -> Any:
        """Run the command in the repository's root."""
        enter_repository()
        return super().invoke(ctx)


class Commands(TyperGroup):
    """The commands; each is the function of the same name in the module of the same name."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(cmd_name, cls=Command)(getattr(import_module(f"resgrid.commands.{name}"), name))
        return typer.main.get_command(app)


app = typer.Typer(
    cls=Commands, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
)


def _print_version(wanted: bool) -> None:
    if wanted:
        import platform
        from importlib import metadata

        packages = ("resgrid", "torch", "pytorch-lightning", "dvc", "mlflow", "ray")
        versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
        typer.echo(f"{versions}, Python {platform.python_version()}, {platform.platform()}")
        raise typer.Exit


@app.callback(epilog="Run `resgrid COMMAND --help` for a command's options and examples.")
def resgrid(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print versions, for an issue.")
    ] = False,
) -> None:
    """Train a grid of plain and residual networks, and measure what shortcuts change.

    Every command works from any folder of the repository.
    """


def main() -> None:
    """Run `resgrid` with the command line's arguments, and exit."""
    exit_status: list[int] = []
    atexit.register(_exit_at_once, exit_status)  # the first handler, which runs last
    try:
        with plain_errors():
            run_code_of_this_tree()
            # DVC runs stages in $SHELL, which may not be a POSIX shell (https://github.com/treeverse/dvc/issues/1307),
            # and finds their `python` on the path.
            os.environ["SHELL"] = "/bin/sh"
            os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
            app(prog_name="resgrid")
    except SystemExit as request:
        exit_status.append(request.code if isinstance(request.code, int) else int(request.code is not None))
        raise


def _exit_at_once(exit_status: list[int]) -> None:
    """Exit without Python's teardown, in which native threads of Ray have crashed after a sweep that succeeded."""
    if exit_status:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_status[0])
