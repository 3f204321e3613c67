"""What an edit makes stale: the table of docs/architecture.md, computed from real manifests and dvc.yaml."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from support.repository import ROOT

DOCUMENT = ROOT / "docs/architecture.md"
NETWORKS = ["plain20", "resnet20-A", "vgg16-cifar"]
STAGES = ("download", "preprocess", "train", "evaluate", "report")


@dataclass(frozen=True)
class Tree:
    """A copy of the code and the parameters.

    Attributes:
        root: of the copy.
        packages: a folder that comes first on `sys.path`.
    """

    root: Path
    packages: Path

    def replace(self, path: str, old: str, new: str) -> None:
        """Edit a file at the first occurrence of a text."""
        text = (self.root / path).read_text(encoding="utf-8")
        assert old in text, f"{path} does not contain {old!r}"
        (self.root / path).write_text(text.replace(old, new, 1), encoding="utf-8")

    def append(self, path: str, text: str) -> None:
        with (self.root / path).open("a", encoding="utf-8") as file:
            file.write(text)

    def set_param(self, section: str, name: str, value: object) -> None:
        yaml, path = YAML(typ="safe", pure=True), self.root / "params.yaml"
        values = yaml.load(path)
        values[section][name] = value
        yaml.dump(values, path)

    def install(self, package: str, version: str) -> None:
        """Have Python find another version of an installed package's metadata."""
        folder = self.packages / f"{package}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")

    def inputs(self) -> dict[str, Any]:
        """Return what each stage and cell depends on besides other stages' outputs: its manifest and its parameters."""
        environment = {"PYTHONPATH": f"{self.packages}:{self.root / 'src'}", "PATH": "/usr/bin:/bin"}
        command = [sys.executable, "-m", "pipeline.sources"]
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        yaml = YAML(typ="safe", pure=True)
        params = yaml.load(self.root / "params.yaml")
        declared = {name: stage["params"] for name, stage in yaml.load(self.root / "dvc.yaml")["stages"].items()}
        manifests = {path.relative_to(self.root / "sources") for path in (self.root / "sources").rglob("*.json")}
        return {
            path.with_suffix("").as_posix(): (
                (self.root / "sources" / path).read_bytes(),
                [params[section] for section in declared[path.with_suffix("").parts[0]]],
            )
            for path in manifests
        }


FAMILY = '''"""A new family."""

from torch import nn


def build(network: object, num_classes: int, in_channels: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))
'''

SRC = "src/resgrid/"


def _add_family(tree: Tree) -> None:
    tree.append(f"{SRC}models/families/linear.py", FAMILY)
    tree.replace(
        f"{SRC}names.py",
        '    "alexnet": ("alexnet", 8),\n',
        '    "alexnet": ("alexnet", 8),\n    "linear": ("linear", 1),\n',
    )


def _add_option(path: str, config: str) -> Callable[[Tree], None]:
    """Add a field to a section's model."""

    def edit(tree: Tree) -> None:
        text = (tree.root / path).read_text(encoding="utf-8")
        start = text.index(f"class {config}(")
        field = re.search(r"^    [a-z_]+: ", text[start:], re.MULTILINE)
        assert field is not None
        place = start + field.start()
        (tree.root / path).write_text(f"{text[:place]}    another: bool = False\n{text[place:]}", encoding="utf-8")

    return edit


def _add_data_set(tree: Tree) -> None:
    tree.replace(f"{SRC}datasets.py", "DATASETS = {", 'DATASETS = {\n    "svhn": Dataset("SVHN", "idx", ()),')


# Edits in words, and how they are made.
EDITS: dict[str, Callable[[Tree], None]] = {
    "a comment in `models/blocks.py`": lambda tree: tree.append(f"{SRC}models/blocks.py", "\n# Why.\n"),
    "a docstring in `models/blocks.py`": lambda tree: tree.replace(f"{SRC}models/blocks.py", '"""', '"""Again: '),
    "a line of `terminal.py`": lambda tree: tree.append(f"{SRC}terminal.py", "\nWIDTH = 80\n"),
    "a message in `training/progress.py`": lambda tree: tree.append(f"{SRC}training/progress.py", '\nTEXT = "done"\n'),
    "a line of `tracking/`": lambda tree: tree.append(f"{SRC}tracking/store.py", "\nTIMEOUT = 60\n"),
    "another value of `machine.workers`": lambda tree: tree.set_param("machine", "workers", 2),
    "another value in the section `sweep`": lambda tree: tree.set_param("sweep", "max_failures", 5),
    "a new option of the search": _add_option(f"{SRC}config/search.py", "SearchConfig"),
    "a new option of `machine`": _add_option(f"{SRC}config/machine.py", "MachineConfig"),
    "a new preset": lambda tree: tree.append("presets/mine.yaml", "preset: mine\n"),
    "a new command": lambda tree: tree.append(f"{SRC}commands/hello.py", '"""Say hello."""\n'),
    "a new network family": _add_family,
    "a new option of the report": _add_option(f"{SRC}config/report.py", "ReportConfig"),
    "a line of `reporting/`, such as a new claim": lambda tree: tree.append(
        f"{SRC}reporting/verdicts.py", "\nNEW = 1\n"
    ),
    "a new data set": _add_data_set,
    "a line of `models/families/vgg.py`": lambda tree: tree.append(f"{SRC}models/families/vgg.py", "\nNEW = 1\n"),
    "a line of `evaluation/`": lambda tree: tree.append(f"{SRC}evaluation/lesion.py", "\nNEW = 1\n"),
    "a line of `models/blocks.py`": lambda tree: tree.append(f"{SRC}models/blocks.py", "\nNEW = 1\n"),
    "another learning rate": lambda tree: tree.set_param("optimizer", "lr", 0.05),
    "a new option of the optimizer": _add_option(f"{SRC}config/train.py", "OptimizerConfig"),
    "another version of torch": lambda tree: tree.install("torch", "2.99.0"),
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code with a grid of three networks of two families."""
    root = tmp_path_factory.mktemp("original")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in ("pipeline", "src", "presets"):
        shutil.copytree(ROOT / part, root / part, ignore=ignored)
    for part in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / part, root / part)
    Tree(root, root / "packages").set_param("grid", "network", NETWORKS)
    return root


def test_the_table_says_what_each_edit_makes_stale(original: Path, tmp_path: Path) -> None:
    before = Tree(original, tmp_path / "none").inputs()
    rows = ["| edit | download | preprocess | train | evaluate | report |", "|---|---|---|---|---|---|"]
    for number, (words, edit) in enumerate(EDITS.items()):
        tree = Tree(tmp_path / str(number), tmp_path / f"packages-{number}")
        shutil.copytree(original, tree.root)
        edit(tree)
        after = tree.inputs()
        stale = [name for name in before if after.get(name) != before[name]]
        rows.append(f"| {words} |{'|'.join(_shown(stage, stale) for stage in STAGES)}|")
    table = "\n".join(rows)
    assert table in DOCUMENT.read_text(encoding="utf-8"), f"put this table into {DOCUMENT.name}:\n{table}"


def _shown(stage: str, stale: list[str]) -> str:
    """Write a cell of the table: whether a stage is stale, or which networks' cells are."""
    if stage not in ("train", "evaluate"):
        return " stale " if stage in stale else " "
    networks = [name.partition("/")[2] for name in stale if name.startswith(f"{stage}/")]
    if len(networks) in (0, len(NETWORKS)):
        return " all cells " if networks else " 0 cells "
    return f" {', '.join(sorted(networks))} "
