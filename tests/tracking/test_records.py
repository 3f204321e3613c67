"""Facts of an execution: the commit, and the code of the stage's manifest."""

import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from resgrid.sources.manifest import Manifest
from resgrid.tracking.lineage import COMMIT, current_commit
from resgrid.tracking.records import StageClock


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one committed code file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(COMMIT, raising=False)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/model.py").write_text("depth = 20\n")
    (tmp_path / ".gitignore").write_text("__pycache__\n")
    for command in ("init -q", "add .", "-c user.name=test -c user.email=test@localhost commit -qm first"):
        subprocess.run(["git", *command.split()], check=True)
    return tmp_path


def test_a_commit_is_dirty_if_code_differs_or_is_not_in_git(repository: Path) -> None:
    clean = current_commit()
    assert clean is not None
    assert len(clean) == 40

    outputs = [repository / path for path in ("dvc.lock", "runs/plain8-0/metrics.json", "src/__pycache__/model.pyc")]
    for path in [*outputs, repository / "notes.txt"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert current_commit() == clean

    added = repository / "src/added.py"
    added.touch()
    assert current_commit() == f"{clean}-dirty"
    added.unlink()
    (repository / "src/model.py").write_text("depth = 32\n")
    assert current_commit() == f"{clean}-dirty"


def test_outside_a_repository_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert current_commit() is None
    monkeypatch.setenv(COMMIT, "abc-dirty")
    assert current_commit() == "abc-dirty"


def test_a_record_holds_the_code_as_it_was_when_the_stage_began(repository: Path) -> None:
    manifest = Manifest(stage="train", packages={}, files={"src/model.py": "0"})
    clock = StageClock(manifest, repository)
    (repository / "src/model.py").write_text("depth = 32\n")
    record = clock.record(devices=1, threads=2, precision="32", resumed_from=[40])
    assert record.code == {"src/model.py": sha256(b"depth = 20\n").hexdigest()}
    assert (record.commit or "").endswith("-dirty")
    assert (record.devices, record.threads, record.precision, record.resumed_from) == (1, 2, "32", [40])
