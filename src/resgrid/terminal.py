"""What people see in the terminal: one console, and commands that answer a mistake in plain words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console

# Standard error, so that a command's standard output stays free for data.
console = Console(stderr=True, highlight=False, soft_wrap=True)


def run_command(command: Callable[..., Any]) -> None:
    """Run a function as a command line: its parameters are the options, its docstring is the help.

    A `ValueError` or `OSError` is the user's to mend: it is printed without a traceback, and the exit status is 1.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(command)
    try:
        app()
    except (ValueError, OSError) as error:
        console.print(f"error: {error}", style="bold red", markup=False, soft_wrap=True)
        sys.exit(1)
