"""Seeded mutations of Python programs: one operator, constant, argument or condition changes."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

OPERATORS = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "*"),
    ast.Pow: ("**", "*"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
}


class Mutation(NamedTuple):
    """A change of a program: the text from `start` to `end`, in bytes of UTF-8, is replaced.

    Attributes:
        kind: operator, constant, argument or branch.
    """

    kind: str
    start: int
    end: int
    replacement: str

    def apply(self, text: str) -> str:
        data = text.encode()
        return (data[: self.start] + self.replacement.encode() + data[self.end :]).decode()


def draw_mutation(text: str, generator: random.Random) -> Mutation | None:
    """Draw a mutation of a program, each kind with the same probability; None if the program has none."""
    by_kind: dict[str, list[Mutation]] = {}
    for mutation in all_mutations(text):
        by_kind.setdefault(mutation.kind, []).append(mutation)
    return generator.choice(by_kind[generator.choice(sorted(by_kind))]) if by_kind else None


def all_mutations(text: str) -> Iterator[Mutation]:
    """Find the mutations of a program, except in docstrings and f-strings, whose parts have no exact positions."""
    tree, data = ast.parse(text), text.encode()
    starts = list(accumulate((len(line) + 1 for line in data.split(b"\n")), initial=0))

    def span(node: ast.expr) -> tuple[int, int]:
        end_line, end_column = node.end_lineno or 0, node.end_col_offset or 0
        return starts[node.lineno - 1] + node.col_offset, starts[end_line - 1] + end_column

    def operator(kind: ast.AST, left: ast.expr, right: ast.expr) -> Iterator[Mutation]:
        start, end = span(left)[1], span(right)[0]  # between them may be parentheses and comments
        if type(kind) in OPERATORS and b"#" not in data[start:end]:
            old, new = OPERATORS[type(kind)]
            place = start + data[start:end].index(old.encode())
            yield Mutation("operator", place, place + len(old), new)

    for node in _outside_strings(tree):
        match node:
            case ast.BinOp(left=left, op=kind, right=right):
                yield from operator(kind, left, right)
            case ast.Compare(left=left, ops=[kind], comparators=[right]):
                yield from operator(kind, left, right)
            case ast.BoolOp(op=kind, values=[left, right]):
                yield from operator(kind, left, right)
            case ast.Constant(value=value) if value is not ...:
                yield Mutation("constant", *span(node), _another(value))
            case ast.Call(args=arguments, keywords=keywords):
                for argument in [*arguments, *(keyword.value for keyword in keywords)]:
                    # The position of a generator may include the call's parentheses.
                    if not isinstance(argument, ast.GeneratorExp | ast.Starred | ast.Constant):
                        yield Mutation("argument", *span(argument), "None")
            case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
                start, end = span(test)
                yield Mutation("branch", start, end, f"(not ({data[start:end].decode()}))")


def _outside_strings(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a syntax tree without statements that are strings, and without the parts of f-strings."""
    yield node
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Expr(value=ast.Constant()) | ast.JoinedStr():
                pass
            case _:
                yield from _outside_strings(child)


def _another(value: str | bytes | complex | None) -> str:
    """Write another constant."""
    match value:
        case bool():
            return str(not value)
        case str():
            return repr(value + "x")
        case bytes():
            return repr(value + b"x")
        case None:
            return "0"
    return repr(value + 1)
