"""Import closures of synthetic packages: what belongs to them, and which imports are refused."""

from pathlib import Path

import pytest

from resgrid.sources.closure import import_closure
from resgrid.sources.meaning import digest_of_bytes, digest_of_code


def write(root: Path, files: dict[str, str]) -> Path:
    """Write files below a folder, and return the script `pipeline/train.py`."""
    for name, text in {"pipeline/__init__.py": "", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "pipeline/train.py"


FAMILIES = {
    "pipeline/train.py": "import net.build\n",
    "src/net/__init__.py": "",
    "src/net/build.py": (
        "from importlib import import_module\ndef build(name):\n    return import_module(f'net.families.{name}')\n"
    ),
    "src/net/blocks.py": "",
    "src/net/families/__init__.py": "",
    "src/net/families/plain.py": "from net import blocks\n",
    "src/net/families/dense.py": "import scipy\n",
    "src/net/families/more/__init__.py": "",
    "src/net/families/more/vgg.py": "",
}


def test_every_kind_of_import_is_followed(tmp_path: Path) -> None:
    script = write(
        tmp_path,
        {
            "pipeline/train.py": (
                "import importlib\n"
                "import json, torch.nn as nn\n"
                "from typing import TYPE_CHECKING\n"
                "from net import attribute, direct\n"
                "from net.deep.deeper import leaf as renamed\n"
                "from net.star import *\n"
                "if TYPE_CHECKING:\n    import net.for_types\n"
                "def later():\n    import net.in_function\n    importlib.import_module('net.by_name')\n"
            ),
            "src/net/__init__.py": "import numpy\n",
            "src/net/direct.py": "from . import relative\nfrom .deep import sibling\n",
            "src/net/relative.py": "import net.direct\n",
            "src/net/deep/__init__.py": "from .. import above\n",
            "src/net/deep/deeper/__init__.py": "from ..sibling import name\n",
            "src/net/deep/deeper/leaf.py": "",
            "src/net/deep/sibling.py": "name = 1\n",
            "src/net/above.py": "",
            "src/net/star.py": "",
            "src/net/for_types.py": "",
            "src/net/in_function.py": "import PIL.Image\n",
            "src/net/by_name.py": "",
            "src/net/unused.py": "import pandas\n",
        },
    )
    closure = import_closure(script)
    assert list(closure.files) == [
        "pipeline/__init__.py",
        "pipeline/train.py",
        "src/net/__init__.py",
        "src/net/above.py",
        "src/net/by_name.py",
        "src/net/deep/__init__.py",
        "src/net/deep/deeper/__init__.py",
        "src/net/deep/deeper/leaf.py",
        "src/net/deep/sibling.py",
        "src/net/direct.py",
        "src/net/for_types.py",
        "src/net/in_function.py",
        "src/net/relative.py",
        "src/net/star.py",
    ]
    assert closure.files["src/net/__init__.py"] == digest_of_code("import numpy")
    assert closure.packages == {"torch", "numpy", "PIL"}


def test_modules_left_out_are_neither_included_nor_followed(tmp_path: Path) -> None:
    script = write(
        tmp_path,
        {
            "pipeline/train.py": "import net.tracking.store\nfrom net import tracking, tracking_free\n",
            "src/net/__init__.py": "",
            "src/net/tracking/__init__.py": "import mlflow\n",
            "src/net/tracking/store.py": "import net.database\n",
            "src/net/tracking_free.py": "",
            "src/net/database.py": "",
        },
    )
    closure = import_closure(script, without=["net.tracking"])
    assert list(closure.files) == [
        "pipeline/__init__.py",
        "pipeline/train.py",
        "src/net/__init__.py",
        "src/net/tracking_free.py",
    ]
    assert closure.packages == set()
    assert len(import_closure(script).files) == 7


def test_a_computed_name_means_all_modules_of_the_package(tmp_path: Path) -> None:
    closure = import_closure(write(tmp_path, FAMILIES))
    assert set(closure.files) == {*FAMILIES, "pipeline/__init__.py"}
    assert closure.packages == {"scipy"}


def test_a_chosen_module_stands_for_the_computed_name(tmp_path: Path) -> None:
    script = write(tmp_path, FAMILIES)
    closure = import_closure(script, {"net.families": ["plain"]})
    others = {"src/net/families/dense.py", "src/net/families/more/__init__.py", "src/net/families/more/vgg.py"}
    assert set(closure.files) == {*FAMILIES, "pipeline/__init__.py"} - others
    assert closure.packages == set()
    assert "src/net/families/more/vgg.py" in import_closure(script, {"net.families": ["more.vgg"]}).files


def test_a_chosen_module_must_exist(tmp_path: Path) -> None:
    script = write(tmp_path, FAMILIES)
    message = (
        r"src/net/build\.py:3: net\.families\.other: no such module; choose from "
        r"net\.families\.dense, net\.families\.more, net\.families\.more\.vgg, net\.families\.plain$"
    )
    with pytest.raises(ValueError, match=message):
        import_closure(script, {"net.families": ["other"]})


def test_a_star_import_takes_all_modules_that_a_package_may_export(tmp_path: Path) -> None:
    files = FAMILIES | {"src/net/build.py": "from net.families import *\n"}
    assert set(import_closure(write(tmp_path, files)).files) == {*files, "pipeline/__init__.py"}


def test_data_files_of_the_packages_count_by_their_bytes(tmp_path: Path) -> None:
    script = write(
        tmp_path,
        {
            "pipeline/train.py": "import net.page\n",
            "src/net/__init__.py": "",
            "src/net/page.py": "",
            "src/net/py.typed": "",
            "src/net/templates/page.j2": "{# text #}",
            "src/net/templates/parts/head.j2": "",
            "src/net/templates/tool.py": "",
            "src/net/templates/.gitignore": "",
            "src/net/__pycache__/page.cpython-311.pyc": "",
            "src/net/other/__init__.py": "",
            "src/net/other/table.csv": "",
        },
    )
    closure = import_closure(script)
    assert list(closure.files) == [
        "pipeline/__init__.py",
        "pipeline/train.py",
        "src/net/__init__.py",
        "src/net/page.py",
        "src/net/py.typed",
        "src/net/templates/page.j2",
        "src/net/templates/parts/head.j2",
    ]
    assert closure.files["src/net/templates/page.j2"] == digest_of_bytes(b"{# text #}")


@pytest.mark.parametrize(
    "line",
    [
        "model.eval()",
        "re.compile('a')",
        "torch.compile(network)",
        "def eval(): pass",
        "compile: bool = True",
        "importlib.util.find_spec('torch')",
        "importlib.metadata.version('torch')",
        "from importlib.util import find_spec",
        "from importlib.metadata import version as installed",
        "import importlib.resources as resources",
        "importlib.import_module('torch')",
    ],
)
def test_harmless_code_is_accepted(tmp_path: Path, line: str) -> None:
    import_closure(write(tmp_path, {"pipeline/train.py": f"import importlib, re\n{line}\n"}))


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("__import__('net')", "__import__"),
        ("exec('import net')", "exec"),
        ("eval('net')", "eval"),
        ("run = compile", "compile"),
        ("__builtins__['exec']('import net')", "__builtins__"),
        ("import builtins", "builtins"),
        ("import runpy", "runpy"),
        ("from runpy import run_module", "runpy.run_module"),
        ("import pkgutil as tool", "pkgutil"),
        ("import importlib as tool", "importlib"),
        ("import importlib.machinery", "importlib.machinery"),
        ("from importlib import *", r"importlib\.\*"),
        ("from importlib import reload", "importlib.reload"),
        ("from importlib import import_module as load", "importlib.import_module"),
        ("from importlib.util import spec_from_file_location as spec", "importlib.util.spec_from_file_location"),
        ("importlib.import_module(name)", "import_module"),
        ("importlib.import_module('net.' + name)", "import_module"),
        ("importlib.import_module('.net', 'package')", "import_module"),
        ("importlib.import_module('.net')", "import_module"),
        ("importlib.import_module(f'{name}')", "import_module"),
        ("importlib.import_module(f'net{name}')", "import_module"),
        ("importlib.import_module(f'net.{name}.{other}')", "import_module"),
        ("importlib.import_module(*names)", "import_module"),
        ("import_module(name)", "import_module"),
        ("load = importlib.import_module", "import_module"),
        ("load = import_module", "import_module"),
        ("load = import_module.__call__", "import_module"),
        ("getattr(importlib, 'import_module')(name)", "importlib"),
        ("importlib.reload(net)", "importlib.reload"),
        ("importlib.util.spec_from_file_location('net', path)", "spec_from_file_location"),
        ("spec.loader.exec_module(module)", "exec_module"),
    ],
)
def test_imports_at_run_time_that_cannot_be_followed_are_refused(tmp_path: Path, line: str, named: str) -> None:
    script = write(tmp_path, {"pipeline/train.py": f"import importlib\n\nif True:\n    {line}\n"})
    with pytest.raises(ValueError, match=rf"^pipeline/train\.py:4: {named}: it can run code .*; write an import"):
        import_closure(script)


def test_a_computed_name_must_be_in_a_package_of_the_project(tmp_path: Path) -> None:
    script = write(
        tmp_path, {"pipeline/train.py": "from importlib import import_module\nimport_module(f'torch.{name}')\n"}
    )
    with pytest.raises(ValueError, match=r"^pipeline/train\.py:2: torch\.\*: torch is not a package of this project"):
        import_closure(script)


def test_edits_are_seen_in_the_same_process(tmp_path: Path) -> None:
    script = write(tmp_path, {"pipeline/train.py": "x = 1\n", "src/net.py": ""})
    before = import_closure(script)
    script.write_text("x = 2\nimport net\n")
    after = import_closure(script)
    assert before.files["pipeline/train.py"] != after.files["pipeline/train.py"]
    assert list(after.files) == ["pipeline/__init__.py", "pipeline/train.py", "src/net.py"]


def test_a_file_with_a_syntax_error_is_named(tmp_path: Path) -> None:
    script = write(tmp_path, {"pipeline/train.py": "import net\n", "src/net.py": "x = 1\nx = (\n"})
    with pytest.raises(ValueError, match=r"^src/net\.py:2: '\(' was never closed; correct the syntax$"):
        import_closure(script)
