"""200 seeded mutations of the code that trains ResNet-20: each makes its manifest stale."""

import ast
import random
import re
import shutil
from pathlib import Path

import pytest

from resgrid.names import parse_network
from resgrid.sources.manifest import check_manifest, manifest_path, read_manifest, write_manifests
from sources.mutations import draw_mutation
from support.repository import ROOT

MANIFEST = manifest_path("train", "resnet20-A")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's code with its manifests."""
    copy = tmp_path_factory.mktemp("project")
    for part in ("pipeline", "src"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    write_manifests(copy, [parse_network("resnet20-A")])
    return copy


@pytest.mark.parametrize("seed", range(4))
def test_mutations_make_the_manifest_stale(root: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    generator = random.Random(seed)
    files = list(read_manifest(root / MANIFEST)["files"])
    kinds: list[str] = []
    while len(kinds) < 50:
        name = generator.choice(files)
        text = (root / name).read_text(encoding="utf-8")
        mutation = draw_mutation(text, generator)
        if mutation is None:
            continue
        kinds.append(mutation.kind)
        mutant = mutation.apply(text)
        assert ast.dump(ast.parse(mutant)) != ast.dump(ast.parse(text)), (name, mutation)
        (root / name).write_text(mutant, encoding="utf-8")
        with pytest.raises(ValueError, match=rf"^{re.escape(f'{MANIFEST}: {name}: the file has changed')}; run"):
            check_manifest(MANIFEST, root)
        (root / name).write_text(text, encoding="utf-8")
    check_manifest(MANIFEST, root)
    assert set(kinds) == {"operator", "constant", "argument", "branch"}
