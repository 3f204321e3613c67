"""Sweeps in which something fails, with real processes: no finished stage is lost, none is recorded wrongly."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from resgrid.sweep import cell_runner
from resgrid.sweep.file_server import FileServer
from support.swept_repository import SweptRepository, wait_until

CELLS = ["plain8-0", "plain8-1", "resnet8-A-0", "resnet8-A-1"]
ONE_CELL = {"network": ["plain8"], "seed": [0]}


def test_stages_that_cannot_be_recorded_end_the_sweep_and_the_next_one_records_them(swept: SweptRepository) -> None:
    swept.hold(2, "resnet8-A-1")
    swept.hold(1, *CELLS[:3])
    sweep = swept.begin_sweep()
    wait_until(lambda: swept.saved_step("plain8-0") == 1, "a step")
    lock = swept.root / "dvc.lock"
    before = lock.read_bytes()
    lock.write_bytes(before + b"\xff\n")  # neither an OSError nor one of DVC's
    for cell in CELLS[:3]:
        swept.hold(100, cell)
    # Only a sweep that terminates its cells ends: the last one waits.
    assert sweep.wait(timeout=200) == 1, swept.log.read_text()
    said = swept.log.read_text()
    assert "failed: plain8-0: train@plain8-0: can't be recorded: 'utf-8' codec can't decode byte 0xff" in said
    assert "0 cells done, 0 restored, 0 were up to date, 3 failed, 1 stopped" in said
    lock.write_bytes(before)
    swept.release()
    done = swept.sweep()
    assert done.returncode == 0, done.stderr
    assert "recorded from an interrupted sweep: train@plain8-0, train@plain8-1, train@resnet8-A-0" in done.stderr
    assert [len(swept.begins(cell)) for cell in CELLS[:3]] == [1, 1, 1]
    assert swept.stale() == {}
    assert list((swept.root / ".resgrid/sweep/delivered").iterdir()) == []


def test_deliveries_of_other_parameters_are_not_recorded(swept: SweptRepository) -> None:
    swept.set_params(grid=ONE_CELL)
    done = swept.sweep()
    assert done.returncode == 0, done.stderr
    delivered = swept.root / ".resgrid/sweep/delivered/train@plain8-0/runs/plain8-0"
    delivered.mkdir(parents=True)
    for name in ("weights.txt", "metrics.json"):
        shutil.copy(swept.root / "runs/plain8-0" / name, delivered)
    inputs = '{"commands": [], "files": {}, "params": {"params.yaml": {"train": {"max_steps": 4}}}}'
    (delivered.parents[1].with_suffix(".json")).write_text(inputs)
    swept.set_params(train={"max_steps": 5})
    done = swept.sweep()
    assert done.returncode == 0, done.stderr
    assert "recorded from an interrupted sweep" not in done.stderr
    assert '"max_steps": 5' in (swept.root / "runs/plain8-0/weights.txt").read_text()


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second file system")
def test_the_state_folder_may_be_on_another_file_system(swept: SweptRepository) -> None:
    swept.set_params(grid=ONE_CELL)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as state:
        assert Path(state).stat().st_dev != swept.root.stat().st_dev
        done = swept.sweep(RESGRID_STATE=state)
    assert done.returncode == 0, done.stderr
    assert "1 cells done" in done.stderr
    assert swept.stale() == {}
    assert sorted(path.name for path in (swept.root / "runs/plain8-0").iterdir()) == [
        "evaluation.json",
        "metrics.json",
        "weights.txt",
    ]


def test_a_worker_that_dies_before_its_report_arrives_loses_nothing(swept: SweptRepository) -> None:
    swept.set_params(grid=ONE_CELL)
    swept.hold(2, "plain8-0")
    sweep = swept.begin_sweep()
    wait_until(lambda: swept.saved_step("plain8-0") == 2, "two steps")
    children = psutil.Process(sweep.pid).children(recursive=True)
    alive = [process for process in children if process.status() != psutil.STATUS_ZOMBIE]
    (worker,) = [process for process in alive if "ray::ImplicitFunc" in " ".join(process.cmdline())]
    marker = swept.root / ".resgrid/sweep/delivered/train@plain8-0.json"
    swept.release()
    # Without a pause: the report follows the delivery within milliseconds.
    deadline = time.monotonic() + 100
    while not marker.exists():
        assert time.monotonic() < deadline
    os.kill(worker.pid, signal.SIGKILL)
    assert sweep.wait(timeout=200) == 0, swept.log.read_text()
    assert "its Ray worker or node died; trying again" in swept.log.read_text()
    assert swept.begins("plain8-0") == [0]
    assert swept.stale() == {}


def test_a_cell_that_finishes_after_an_interrupt_is_recorded(swept: SweptRepository) -> None:
    swept.set_params(grid=ONE_CELL)
    code = swept.root / "pipeline/train.py"
    code.write_text(code.read_text().replace("signals.append(number)", '(state / "interrupted").touch()'))
    swept.hold(2, "plain8-0")
    sweep = swept.begin_sweep()
    wait_until(lambda: swept.saved_step("plain8-0") == 2, "two steps")
    os.kill(sweep.pid, signal.SIGINT)
    wait_until((swept.root / ".resgrid/interrupted").exists, "the interrupt")
    swept.release()
    assert sweep.wait(timeout=200) == 1, swept.log.read_text()
    assert "train@plain8-0" in swept.dvc_lock()
    assert swept.sweep().returncode == 0
    assert swept.begins("plain8-0") == [0]
    assert swept.stale() == {}


def test_another_branch_gets_no_entries_and_other_commands_run_no_cells(swept: SweptRepository) -> None:
    swept.set_params(grid=ONE_CELL)
    swept.run("dvc", "repro", "preprocess")
    swept.commit("data")
    swept.hold(2, "plain8-0")
    sweep = swept.begin_sweep()
    wait_until(lambda: swept.saved_step("plain8-0") == 2, "two steps")
    by_dvc = swept.run("dvc", "repro", "train@plain8-0", check=False)
    assert by_dvc.returncode != 0
    assert f"(PID {sweep.pid})" in by_dvc.stderr
    swept.run("git", "checkout", "-q", "-b", "other")
    swept.release()
    assert sweep.wait(timeout=200) == 1, swept.log.read_text()
    assert (
        "can't be recorded: refs/heads/main: another branch or an earlier commit is checked out"
        in swept.log.read_text()
    )
    assert "train@plain8-0" not in swept.dvc_lock()
    swept.run("git", "checkout", "-q", "main")
    done = swept.sweep()
    assert "recorded from an interrupted sweep: train@plain8-0, evaluate@plain8-0" in done.stderr
    assert swept.begins("plain8-0") == [0]
    assert swept.stale() == {}


def test_a_commit_during_the_sweep_is_fine(swept: SweptRepository) -> None:
    swept.set_params(grid=ONE_CELL)
    swept.run("dvc", "repro", "preprocess")
    swept.commit("data")
    swept.hold(2, "plain8-0")
    sweep = swept.begin_sweep()
    wait_until(lambda: swept.saved_step("plain8-0") == 2, "two steps")
    (swept.root / "notes.md").write_text("notes\n")
    swept.commit("notes")
    swept.release()
    assert sweep.wait(timeout=200) == 0, swept.log.read_text()
    assert swept.stale() == {}


def test_a_damaged_object_in_the_cache_is_refused_and_restored(swept: SweptRepository) -> None:
    swept.set_params(grid=ONE_CELL)
    swept.run("dvc", "repro", "preprocess")
    (damaged,) = [path for path in (swept.root / ".dvc/cache").rglob("*") if path.is_file() and _holds(path, b"first")]
    damaged.chmod(0o644)
    damaged.write_bytes(b"worse\n")
    damaged.chmod(0o444)
    done = swept.sweep()
    assert done.returncode == 1
    assert f"error: {damaged}: damaged (MD5 mismatch); delete it and rerun the sweep" in done.stderr.replace("\n", "")
    assert "train@plain8-0" not in swept.dvc_lock()
    damaged.unlink()
    assert swept.sweep().returncode == 0
    assert "first\nsecond\n" in (swept.root / "runs/plain8-0/weights.txt").read_text()


def test_a_node_without_memory_is_named_and_the_token_is_private(swept: SweptRepository, tmp_path: Path) -> None:
    swept.set_params(grid=ONE_CELL, sweep={"max_failures": 0})
    limits = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "200"}
    done = swept.sweep(HOME=str(tmp_path), **limits)
    assert done.returncode == 1
    assert "failed: plain8-0: its node ran out of memory" in done.stderr
    token = tmp_path / ".ray/auth_token"
    assert token.stat().st_mode & 0o777 == 0o600
    token.chmod(0o644)
    assert swept.sweep(HOME=str(tmp_path)).returncode == 0
    assert token.stat().st_mode & 0o777 == 0o600


def test_only_one_host_writes_the_embedded_store(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    settings = {"work": str(tmp_path), "token": "secret", "root": str(tmp_path), "environment": {}, "host": "elsewhere"}
    job = {"cell": "plain8-0", "saved_as": "plain8-0", "state": str(tmp_path / "state"), "settings": settings}
    with pytest.raises(cell_runner.CellFailedError, match="must not write the SQLite store of elsewhere; start an ML"):
        cell_runner.run_cell(job | {"stages": []}, None, print)


def test_the_file_server_follows_no_link_out_of_its_folders(tmp_path: Path) -> None:
    work, outside = tmp_path / "work", tmp_path / "outside"
    for folder in (work, outside):
        folder.mkdir()
    (outside / "secret").write_text("secret")
    (work / "link").symlink_to(outside)
    server = FileServer([str(work)], str(work), str(work), {})
    for path in (f"{work}/link/secret", f"{work}/../outside/secret"):
        with pytest.raises(PermissionError, match="outside the sweep's folders"):
            server.read(path, 0)
        with pytest.raises(PermissionError, match="outside the sweep's folders"):
            server.write(path, 0, b"changed", last=True)
        with pytest.raises(PermissionError, match="outside the sweep's folders"):
            server.remove(path)
    with pytest.raises(PermissionError, match="outside the sweep's folders"):
        server.begin_delivery("../../outside")
    assert (outside / "secret").read_text() == "secret"


def _holds(path: Path, text: bytes) -> bool:
    return path.read_bytes().startswith(text)
