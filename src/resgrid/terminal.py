"""The terminal: the console for messages, and commands that answer a user's mistake in plain words."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from resgrid.credentials import without_credentials

Item = TypeVar("Item")

# Files and pipes have no width: a table there is as wide as its text (rich would cut it to 80 columns).
_UNLIMITED = 10_000

_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # and bytes that are not UTF-8


class _Console(Console):
    """A console that prints neither credentials in URLs nor control characters, which become their codes.

    A class name must not control the terminal, nor a library's error show a password.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """Turn a text or a table's field into what is printed."""
        printable = _CONTROL_CHARACTERS.sub(lambda found: f"\\x{ord(found[0]):02x}", without_credentials(text))
        return super().render_str(printable, **options)


# Messages go to standard error, which leaves standard output free for data. They are printed as written:
# "[old]" and ":x:" are parts of class names and paths, not markup.
console = _Console(
    stderr=True,
    markup=False,
    emoji=False,
    highlight=False,
    soft_wrap=True,
    width=None if sys.stderr.isatty() else _UNLIMITED,
)


def with_progress(items: Sequence[Item], description: str) -> Iterator[Item]:
    """Yield items, with a progress bar in a terminal and one line elsewhere: a long wait must not look like a hang."""
    from rich.progress import track  # short commands don't need it

    if not console.is_terminal:
        console.print(f"{description}: {len(items):,}")
    disable = not console.is_terminal
    yield from track(items, description, console=console, transient=True, disable=disable)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Print a user's mistake (`ValueError`, `OSError`) without a traceback, and exit with status 1.

    Any other exception is a fault of resgrid: it keeps its traceback, which ends with how to report it.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        console.print(f"error: {error}", style="bold red")
        sys.exit(1)
    except Exception as fault:
        fault.add_note("This is a fault of resgrid. Please open an issue with these lines and the output of:")
        fault.add_note("resgrid --version")
        raise


def run_command(command: Callable[..., Any]) -> None:
    """Run a function as a command line: its parameters are the options, its docstring is the help."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(command)
    with plain_errors():
        app()
