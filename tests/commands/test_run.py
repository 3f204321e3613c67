"""Before a run, manifests are updated that describe other code or packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from resgrid.commands.run import refresh_manifests
from resgrid.config.grid import GridConfig

GRID = GridConfig(network=["plain8"], seed=[0])


def test_changed_manifests_are_updated(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tree)
    refresh_manifests(GRID)
    assert not Path("sources").exists()  # the stage `sources` makes them
    Path("sources").mkdir()
    refresh_manifests(GRID)
    manifest = Path("sources/train/plain8.json")
    written = manifest.read_text(encoding="utf-8")
    manifest.write_text(written.replace('"torch": "', '"torch": "0'), encoding="utf-8")
    capsys.readouterr()
    refresh_manifests(GRID)
    assert capsys.readouterr().err == "sources: sources/train/plain8.json changed\n"
    assert manifest.read_text(encoding="utf-8") == written
