"""Digests of meaning: what doesn't change them, what changes them, and that they are the same on each Python."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from resgrid.sources import meaning
from resgrid.sources.meaning import digest_of_bytes, digest_of_code, digest_of_file

SOURCE = Path(meaning.__file__).parents[1]

GOLDEN = {
    "": "232d44b2cb18ea45135e6e6b100556c4",
    "x = 1": "b71ca375303768042ea37191d233083c",
    '"""Module."""\n\nclass A:\n    """Class."""\n\n    x: int = 1\n': "05039e9752f319d50e3edcb874d16467",
    "class A:\n    def f(self, *, a, b=2):\n        return a + b\n": "0bbac309d0fa0b616fe91f5e301238ff",
    'f"{a!r:>{width}.{digits}f} {b = } {{c}}" "d" f"" f"{e}"': "f330b52904d3a6868fb34882114e35b5",
    "async def f():\n    return [a async for a in b if not a]\n": "d3993cdb5c7454f1d1f7737949463a75",
    "match a:\n    case {'b': [1, *_], **c} | None if c:\n        del a, (b, c)\n": "ef9f0f488b9a613a8100f690cd26c5fd",
    "x = {**a, 'é\\ud800': b'\\xff', 1e400: -2j, ...: (True, None)}": "8c6f469afc811f216210f17f0e2dd787",
}

SAME = [
    ("x = 1", "x = 1  # a comment"),
    ("x = 1", "\n\n# a comment\n\nx = (\n    1\n)\n"),
    ("x = 1; y = 2", "x = 1\ny = 2"),
    ("x = 'a'", 'x = "a"'),
    ("x = 'a'", "x = u'a'"),
    ("x = 'ab'", 'x = "a" "b"'),
    ("x = '\\xe9\\u2022'", "x = 'é\\N{bullet}'"),
    ("x = 0xff + 1e5 + 2j + 1_000", "x = 0XFF + 1E5 + 2J + 1000"),
    ("x = f'a{b}c'", "x = f'a' f'{b}' 'c' f''"),
    ("x = f'{b:>{c}}' f'{d}'", "x = f'{b:>{c}}{d}'"),
    ("f(a, b)", "f(\n    a,\n    b,\n)"),
    ("del a, b", "del (a, b)"),
    ("del a, b, c", "del (a, (b, c))"),
    ("with a, b: pass", "with (\n    a,\n    b,\n): pass"),
    ("class A: pass", "class A():\n    pass"),
    ("x = a if b else c", "x = (a) if (b) else (c)"),
    ("x[1, 2]", "x[(1, 2)]"),
    ("def f():\n    return 1", 'def f():\n    """Return 1."""\n    return 1'),
    ('def f():\n    """Return 1."""', 'def f():\n    r"""Return\n\n    one."""'),
    ("async def f():\n    return 1", "async def f():\n    'Return 1.'\n    return 1"),
    ("class A:\n    x = 1", 'class A:\n    """A."""\n\n    x = 1'),
    ("import a", '"""Module."""\n\nimport a'),
    ("x = '''a\nb'''", "x = 'a\\nb'"),
]

DIFFERENT = [
    ("x = 1", "x = 2"),
    ("x = 1", "x = 1.0"),
    ("x = 1", "x = True"),
    ("x = 1", "x = '1'"),
    ("x = 'a'", "x = b'a'"),
    ("x = None", "x = 'None'"),
    ("x = ...", "x = 'Ellipsis'"),
    ("x = 0.0", "x = 0j"),
    ("x = 1", "y = 1"),
    ("x = 1", "x: int = 1"),
    ("x: int", "(x): int"),
    ("x = 1\ny = 2", "y = 2\nx = 1"),
    ("a + b", "a - b"),
    ("a + b + c", "a + (b + c)"),
    ("-a ** b", "(-a) ** b"),
    ("a < b < c", "(a < b) < c"),
    ("a is b", "a == b"),
    ("a and b", "a or b"),
    ("not a in b", "(not a) in b"),
    ("f(a, b)", "f(b, a)"),
    ("f(a, b)", "f((a, b))"),
    ("f(a)", "f(*a)"),
    ("f(a)", "f(a=a)"),
    ("f(*a)", "f(**a)"),
    ("f('a', 'b')", "f('a' 'b')"),
    ("f('a, b')", "f('a', 'b')"),
    ("f(\"a', 'b\")", "f('a', 'b')"),
    ("(a, b)", "[a, b]"),
    ("{a, b}", "{a: b}"),
    ("{**a, b: c}", "{b: c, **a}"),
    ("{None: a}", "{**a}"),
    ("[a for a in b]", "{a for a in b}"),
    ("[a for a in b if c]", "[a for a in b if not c]"),
    ("x[1:2]", "x[1:2:1]"),
    ("x[1:]", "x[:1]"),
    ("x = lambda: a", "x = a"),
    ("def f(*, a=1, b): pass", "def f(*, a, b=1): pass"),
    ("def f(a, /, b): pass", "def f(a, b, /): pass"),
    ("def f(a, b): pass", "def f(a, *, b): pass"),
    ("def f(*a): pass", "def f(**a): pass"),
    ("def f(a: int): pass", "def f(a: float): pass"),
    ("def f(): pass", "async def f(): pass"),
    ("@a\ndef f(): pass", "@b\ndef f(): pass"),
    ("@a\n@b\ndef f(): pass", "@b\n@a\ndef f(): pass"),
    ("if a:\n    b\n    c", "if a:\n    b\nc"),
    ("if a:\n    b\nelse:\n    c", "if a:\n    c\nelse:\n    b"),
    ("for a in b:\n    c", "while b:\n    c"),
    ("for a in b:\n    c\nelse:\n    d", "for a in b:\n    c\nd"),
    ("try:\n    a\nexcept B:\n    c", "try:\n    a\nexcept:\n    c"),
    ("try:\n    a\nfinally:\n    b", "try:\n    a\nexcept A:\n    b"),
    ("import a", "import a as b"),
    ("import a.b", "from a import b"),
    ("from . import a", "from .. import a"),
    ("x = f'{a}'", "x = f'{b}'"),
    ("x = f'{a}'", "x = f'{a!r}'"),
    ("x = f'{a}'", "x = f'{a:>1}'"),
    ("x = f'{a}'", "x = f'{{a}}'"),
    ("x = f'{a}'", "x = '{a}'"),
    ("x = f'{a=}'", "x = f'{a = }'"),
    ("x = f'a'", "x = 'a'"),
    ("x = f'{a}b{c}'", "x = f'{a}{c}b'"),
    ("x = f'{a:b{c}}'", "x = f'{a:{c}b}'"),
    ("x = 1", "x = 1\n'text'"),
    ("x = 'text'", "x = 'Text'"),
    ("'''Module.'''\nx = __doc__", "'''Modules.'''\nx = __doc__"),
    ("def f():\n    f'''Text.'''\n    return __doc__", "def f():\n    '''Text.'''\n    return __doc__"),
    ("match a:\n    case 1: b", "match a:\n    case True: b"),
    ("match a:\n    case None: b", "match a:\n    case _: b"),
    ("match a:\n    case [b, *_]: c", "match a:\n    case [b, _]: c"),
    ("match a:\n    case {'b': c}: d", "match a:\n    case {'b': c, **e}: d"),
    ("global a", "nonlocal a"),
    ("return_ = 1", "return_ = 1,"),
    ("raise a", "raise a from b"),
    ("assert a", "assert a, b"),
]

# Code that a formatter changes in many ways.
UGLY = """
import   os , sys ; from a import ( b )
class   A ( ) :
  '''doc
     more   '''
  x = u'a'  "b" ; y = (1)
@(decorator)
def f( a , * , b = 1 , ** c ) :
    r'''raw   '''
    del aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, ccccccccccccccccccc.ddddd
    del (a) ; del (a,) ; del ((a, b), c) ; del [a, b]
    for (x) in (*a, *b): pass
    with (open(x) as f, open(y) as g): pass
    with (a, b): pass
    with (a, b) as c: pass
    x = 0XABcd + 1E5 + 10J + 0O17 + 0B11 + 1_0.E3
    z = '\\xAB\\uABCD\\N{en dash}'  'it"s' 'x' ; w = b'\\xFF' B'q' Rb'w' ; u = R'z'
    v = f'a' "b" f"{x}" f'' '{y}' f'{x !r:>{ w }}' f"{ y = }" f'{ d["k"] }' f"{x:}"
    (a): int = 1 ; (a.b): int = 1
    return (not(a)), (yield), (lambda a , * b : (1))
def g():
    'only a docstring'
async def h(argument_with_a_long_name, another_argument_with_a_long_name, a_third_argument_with_a_long_name) -> (int):
    x[(1,2)]; x[(*a,)]; x[a , ]; x[(a):(b)] ; assert(x), (y) ; raise(x)from(y)
    if (a:=1): pass
    elif(b) : pass
    else :
        if c: pass
    try: pass
    except (A): pass
    except (A, B): pass
    match(x):
        case (a, b): pass
        case [c, d] | {"a":1,**r}: pass
        case P(a , b=2,) if(a): pass
    x = not (a in b) ; y = - (1) ** (2) ; t = (1).real ; a = b = (c) = 1 ; a, = b
    x = {**a, 'b':1} ; print((i for i in x)) ; await(x)
    async with (a): pass
    return [ (await y) async for y in (z) if(y) ]
"""


@pytest.mark.parametrize("text", GOLDEN)
def test_golden_digests(text: str) -> None:
    assert digest_of_code(text) == GOLDEN[text]


@pytest.mark.parametrize(("before", "after"), SAME)
def test_edits_without_meaning_keep_the_digest(before: str, after: str) -> None:
    assert before != after
    assert digest_of_code(before) == digest_of_code(after)


@pytest.mark.parametrize(("before", "after"), DIFFERENT)
def test_edits_with_meaning_change_the_digest(before: str, after: str) -> None:
    assert digest_of_code(before) != digest_of_code(after)


def test_all_different_programs_have_different_digests() -> None:
    texts = {text for pair in DIFFERENT for text in pair} | set(GOLDEN)
    assert len({digest_of_code(text) for text in texts}) == len(texts)


def test_formatting_keeps_the_digest() -> None:
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--target-version", "py311", "-"]
    done = subprocess.run(command, input=UGLY, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") > 1.5 * UGLY.count("\n")
    assert digest_of_code(done.stdout) == digest_of_code(UGLY)


def test_the_projects_files_keep_their_digests_when_written_from_their_syntax_trees() -> None:
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "__doc__" not in text:
            assert digest_of_code(ast.unparse(ast.parse(text))) == digest_of_code(text), path


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_digests_are_the_same_on_each_python(version: str) -> None:
    python = shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"Python {version} is not installed")
    program = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); from meaning import digest_of_code; "
        "print(json.dumps([digest_of_code(text) for text in json.load(sys.stdin)]))"
    )
    files = [path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py"))]
    texts = [*GOLDEN, UGLY, *(text for pair in SAME + DIFFERENT for text in pair), *files]
    command = [python, "-I", "-W", "ignore", "-B", "-c", program, str(Path(meaning.__file__).parent)]
    done = subprocess.run(command, input=json.dumps(texts), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [digest_of_code(text) for text in texts]


def test_files_that_are_not_python_count_by_their_bytes(tmp_path: Path) -> None:
    template, code = tmp_path / "page.html.j2", tmp_path / "code.py"
    template.write_bytes(b"x = 1  # text\n")
    code.write_bytes(b"x = 1  # text\r\n")
    assert digest_of_file(template) == digest_of_bytes(b"x = 1  # text\n") == "a36e165a3ec1ac2b8e0e7f4d7ddf6b97"
    assert digest_of_file(code) == digest_of_code("x = 1")


def test_a_file_that_is_not_python_is_named(tmp_path: Path) -> None:
    path = tmp_path / "code.py"
    path.write_text("x = 1\nx = (\n")
    with pytest.raises(ValueError, match=r"code\.py:2: '\(' was never closed; correct the syntax"):
        digest_of_file(path)
