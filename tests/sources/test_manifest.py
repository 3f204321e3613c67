"""Manifests of a synthetic project: what is in them, when they change, and what checks of them find."""

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from resgrid.names import parse_network
from resgrid.sources.manifest import check_manifest, describe, raw_hashes, read_manifest, write_manifests
from resgrid.sources.meaning import digest_of_code


@dataclass(frozen=True)
class Plain:
    """A synthetic network."""

    depth: int
    module: str = "plain"

    @property
    def name(self) -> str:
        return f"{self.module}{self.depth}"

    @property
    def blocks_per_stage(self) -> tuple[int, ...]:
        return (self.depth // 6,) * 3

    @property
    def plain_counterpart(self) -> str:
        return "plain20"

    @property
    def _private(self) -> int:
        return 1


FILES = {
    "pipeline/__init__.py": "",
    "pipeline/download.py": "import resgrid.terminal\n",
    "pipeline/preprocess.py": "import PIL\n",
    "pipeline/train.py": "from resgrid.models import build\nimport resgrid.tracking\nimport torch, numpy, rich\n",
    "pipeline/evaluate.py": "from resgrid.models import build\nimport sklearn\n",
    "pipeline/report.py": "import resgrid.names\nimport jinja2\n",
    "src/resgrid/__init__.py": "",
    "src/resgrid/names.py": "",
    "src/resgrid/terminal.py": "",
    "src/resgrid/tracking.py": "import mlflow\n",
    "src/resgrid/models/__init__.py": "",
    "src/resgrid/models/build.py": (
        "from importlib import import_module\nimport resgrid.names\n"
        "def build(name):\n    return import_module(f'resgrid.models.families.{name}')\n"
    ),
    "src/resgrid/models/families/__init__.py": "",
    "src/resgrid/models/families/plain.py": "width = 16\n",
    "src/resgrid/models/families/vision.py": "import torchvision\n",
}
NETWORKS = [Plain(20), Plain(8, "vision")]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def edit(root: Path, name: str, text: str) -> list[str]:
    """Append text to a file, and return the manifests that change."""
    path = root / name
    path.write_text(path.read_text() + text)
    return [changed.as_posix() for changed in write_manifests(root, NETWORKS)]


def test_a_manifest_is_written_for_each_stage_and_network(root: Path) -> None:
    written = [path.as_posix() for path in write_manifests(root, NETWORKS)]
    assert written == [
        "sources/download.json",
        "sources/evaluate/plain20.json",
        "sources/evaluate/vision8.json",
        "sources/preprocess.json",
        "sources/report.json",
        "sources/train/plain20.json",
        "sources/train/vision8.json",
    ]
    code = [
        "pipeline/__init__.py",
        "pipeline/train.py",
        "src/resgrid/__init__.py",
        "src/resgrid/models/__init__.py",
        "src/resgrid/models/build.py",
        "src/resgrid/models/families/__init__.py",
        "src/resgrid/models/families/plain.py",
    ]
    text = (root / "sources/train/plain20.json").read_text()
    assert json.loads(text) == {
        "stage": "train",
        "network": {
            "class": "Plain",
            "blocks_per_stage": [3, 3, 3],
            "depth": 20,
            "module": "plain",
            "name": "plain20",
        },
        "packages": {"numpy": version("numpy"), "torch": version("torch")},
        "files": {name: digest_of_code(FILES[name]) for name in code},
    }
    assert f'\n  "pipeline/train.py": "{digest_of_code(FILES["pipeline/train.py"])}",\n' in text
    assert list(read_manifest(root / "sources/train/vision8.json")["packages"]) == ["numpy", "torch", "torchvision"]
    assert list(read_manifest(root / "sources/evaluate/plain20.json")["packages"]) == ["scikit-learn"]
    assert list(read_manifest(root / "sources/preprocess.json")["packages"]) == ["pillow"]
    assert list(read_manifest(root / "sources/download.json")["files"]) == [
        "pipeline/__init__.py",
        "pipeline/download.py",
        "src/resgrid/__init__.py",
    ]
    assert "src/resgrid/names.py" in read_manifest(root / "sources/report.json")["files"]


def test_only_the_manifests_of_what_an_edit_can_change_are_written(root: Path) -> None:
    write_manifests(root, NETWORKS)
    assert edit(root, "src/resgrid/models/build.py", "# a comment\n") == []
    assert edit(root, "src/resgrid/tracking.py", "x = 1\n") == []
    assert edit(root, "src/resgrid/names.py", "x = 1\n") == ["sources/report.json"]
    assert edit(root, "src/resgrid/models/families/plain.py", "x = 1\n") == [
        "sources/evaluate/plain20.json",
        "sources/train/plain20.json",
    ]
    assert edit(root, "pipeline/preprocess.py", "x = 1\n") == ["sources/preprocess.json"]
    assert len(edit(root, "src/resgrid/models/__init__.py", "x = 1\n")) == 4


def test_manifests_of_networks_that_left_the_grid_are_deleted(root: Path) -> None:
    write_manifests(root, NETWORKS)
    gone = [path.as_posix() for path in write_manifests(root, NETWORKS[:1])]
    assert gone == ["sources/evaluate/vision8.json", "sources/train/vision8.json"]
    assert not (root / gone[0]).exists()


TRAIN = Path("sources/train/plain20.json")


def test_a_check_of_an_unchanged_project_returns_the_manifest(root: Path) -> None:
    write_manifests(root, NETWORKS)
    edit(root, "pipeline/train.py", "# a comment\n")
    assert check_manifest(TRAIN, root, NETWORKS[0]) == read_manifest(root / TRAIN)


def test_a_check_names_the_file_that_changed(root: Path) -> None:
    write_manifests(root, NETWORKS)
    (root / "pipeline/train.py").write_text("x = 1\n")
    message = (
        r"^sources/train/plain20\.json: pipeline/train\.py: the file has changed; run `dvc repro --force sources`$"
    )
    with pytest.raises(ValueError, match=message):
        check_manifest(TRAIN, root)
    (root / "src/resgrid/models/build.py").unlink()
    with pytest.raises(ValueError, match=r"pipeline/train\.py: the file has changed \(and 1 more\); run"):
        check_manifest(TRAIN, root)


def test_a_check_names_the_file_that_is_missing(root: Path) -> None:
    write_manifests(root, NETWORKS)
    (root / "src/resgrid/models/build.py").unlink()
    with pytest.raises(ValueError, match=r"plain20\.json: src/resgrid/models/build\.py: the file is missing; run"):
        check_manifest(TRAIN, root)


def test_a_check_names_the_package_of_another_version(root: Path) -> None:
    write_manifests(root, NETWORKS)
    manifest = read_manifest(root / TRAIN)
    manifest["packages"]["torch"] = "1.0.0+cpu"
    (root / TRAIN).write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=rf"plain20\.json: torch 1\.0\.0\+cpu: installed is {version('torch')}; run"):
        check_manifest(TRAIN, root)


def test_a_check_finds_another_description_of_the_network(root: Path) -> None:
    write_manifests(root, NETWORKS)
    with pytest.raises(ValueError, match=r"plain20\.json: plain26: the network's description has changed; run"):
        check_manifest(TRAIN, root, Plain(26))


@pytest.mark.parametrize("text", [None, "", '{"stage": '])
def test_a_missing_or_damaged_manifest_is_refused(root: Path, text: str | None) -> None:
    write_manifests(root, NETWORKS)
    if text is None:
        (root / TRAIN).unlink()
    else:
        (root / TRAIN).write_text(text)
    with pytest.raises(ValueError, match=r"plain20\.json: not a readable manifest \(.+\); run `dvc repro --force"):
        check_manifest(TRAIN, root)


def test_a_real_network_is_described_by_its_value() -> None:
    described = describe(parse_network("resnet50-imagenet-B-stride3x3"))
    assert described["class"] == "PlainOrResidual"
    assert described["blocks_per_stage"] == [3, 4, 6, 3]
    assert described["stride_in"] == "3x3"
    assert "plain_counterpart" not in described


def test_raw_hashes_are_of_the_bytes(root: Path) -> None:
    expected = hashlib.sha256(FILES["pipeline/train.py"].encode()).hexdigest()
    assert raw_hashes(root, ["pipeline/train.py"]) == {"pipeline/train.py": expected}
