"""What the console prints where there is no terminal."""

from __future__ import annotations

import subprocess
import sys


def printed(statements: str) -> str:
    program = f"from rich.table import Table; from resgrid.terminal import console; {statements}"
    environment = {"COLUMNS": "40", "PYTHONUTF8": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    return done.stderr


def test_text_is_printed_as_written() -> None:
    text = "[old] :x: /data/:on:/a [link=file:///]"
    assert printed(f"console.print('{text}')") == f"{text}\n"


def test_control_characters_are_printed_as_their_codes() -> None:
    text = r"a\x1b]0;title\x07\x9bm"
    assert printed(f"console.print('{text}')") == "a\\x1b]0;title\\x07\\x9bm\n"
    cell = printed(f"table = Table('a'); table.add_row('{text}'); console.print(table)").splitlines()[3]
    assert cell.strip(" │").startswith("a\\x1b]0;title\\x07\\x9bm")


def test_a_table_in_a_pipe_is_not_cut() -> None:
    number = f"{10**300:,}"
    table = f"table = Table('[old]', title='t:x:'); table.add_row('{number}'); console.print(table)"
    title, _, heading, _, row, _ = printed(table).splitlines()
    assert (title.strip(), heading.strip(" ┃"), row.strip(" │")) == ("t:x:", "[old]", number)


def test_long_work_is_announced() -> None:
    statements = "from resgrid.terminal import with_progress; print(list(with_progress('ab', 'comparing cells')))"
    assert printed(statements) == "comparing cells: 2\n"
