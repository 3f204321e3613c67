"""Sweeps of a whole graph with real DVC, Ray and MLflow: what is recorded is what ran."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from support.swept_repository import CAN_MOUNT, SweptRepository, make_swept_repository, wait_until

STAGES = ("train", "evaluate")
CELLS = ["plain8-0", "plain8-1", "resnet8-A-0", "resnet8-A-1"]
# Metrics of a cell, which git has instead of DVC.
GIT = ("metrics.json", "evaluation.json")


def test_a_sweep_records_what_dvc_repro_records(swept: SweptRepository, tmp_path: Path) -> None:
    by_dvc = make_swept_repository(tmp_path / "by_dvc")
    by_dvc.run("dvc", "repro")
    plan = swept.sweep("--dry-run")
    assert "run first, because stale: preprocess, sources; the plan depends on their outputs" in plan.stderr
    assert not (swept.root / "dvc.lock").exists()
    swept.run("dvc", "repro", "preprocess")
    plan = swept.sweep("--dry-run", "--select", "resnet8-A", "--seeds", "1")
    assert "1 cells to run, 0 up to date" in plan.stderr
    assert "never run" in plan.stderr

    done = swept.sweep()
    assert done.returncode == 0, done.stderr
    assert "4 cells done, 0 restored, 0 were up to date, 0 failed, 0 stopped" in done.stderr
    assert swept.dvc_lock() == by_dvc.dvc_lock()
    for cell in CELLS:
        for name in ("weights.txt", "metrics.json", "evaluation.json"):
            assert (swept.root / "runs" / cell / name).read_bytes() == (by_dvc.root / "runs" / cell / name).read_bytes()
    assert swept.stale() == {}
    assert (swept.root / "report.txt").exists()

    assert "4 cells and the report are up to date" in swept.sweep().stderr

    # Stages in the run cache are restored.
    lock = (swept.root / "dvc.lock").read_bytes()
    shutil.rmtree(swept.root / "runs")
    swept.set_params(train={"max_steps": 4})
    swept.set_params(train={"max_steps": 3})
    assert "0 cells done, 4 restored" in swept.sweep().stderr
    assert swept.stale() == {}
    assert (swept.root / "dvc.lock").read_bytes() == lock

    # A new dependency of an `evaluate` that dvc.lock has without it.
    for repository in (swept, by_dvc):
        graph, train = repository.root / "dvc.yaml", repository.root / "pipeline/train.py"
        out, dependency = (
            "    outs:\n      - runs/${key}/weights.txt\n",
            "      - runs/${key}/weights.txt\n      - runs/${key}/m",
        )
        more = "      - runs/${key}/more.txt\n"
        text = graph.read_text().replace(dependency, more + dependency).replace(out, out + more)
        assert text.count("more.txt") == 2
        graph.write_text(text)
        train.write_text(train.read_text() + 'Path("runs", cell, "more.txt").write_text("more")\n')
    by_dvc.run("dvc", "repro")
    assert swept.sweep().returncode == 0
    assert swept.dvc_lock() == by_dvc.dvc_lock()


def test_a_clone_pulls_results_from_the_remote_instead_of_training(swept: SweptRepository, tmp_path: Path) -> None:
    swept.run("dvc", "repro")
    swept.run("dvc", "remote", "add", "--default", "storage", str(tmp_path / "storage"))
    swept.run("dvc", "push")
    swept.run(
        "git", "add", "--force", "dvc.lock", "sources", *(f"runs/{cell}/{name}" for cell in CELLS for name in GIT)
    )
    swept.commit("results")
    swept.run("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = SweptRepository(tmp_path / "clone")
    done = clone.sweep()
    assert done.returncode == 0, done.stderr
    stages = [f"{stage}@{cell}" for stage in ("train", "evaluate") for cell in CELLS]
    assert f"pulled from DVC's remote: {', '.join(stages)}\n" in done.stderr
    assert "0 cells to run, 4 up to date" in done.stderr
    assert clone.dvc_lock() == swept.dvc_lock()
    assert clone.stale() == {}


def test_a_cell_does_not_inherit_variables_of_its_ray_or_slurm_job(swept: SweptRepository) -> None:
    train = swept.root / "pipeline/train.py"
    said = 'Path(os.environ["RESGRID_STATE"], "names").write_text(" ".join(os.environ))\nbegin = int'
    train.write_text(train.read_text().replace("begin = int", said))
    seen = {"SLURM_NTASKS": "4", "SLURM_NNODES": "4", "RAY_DEDUP_LOGS": "0", "OMP_NUM_THREADS": "1", "OTHERS": "stay"}
    assert swept.sweep("--select", "plain8", "--seeds", "0", **seen).returncode == 0
    names = (swept.root / ".resgrid/names").read_text().split()
    assert "OTHERS" in names
    assert [name for name in names if name.startswith(("SLURM_", "RAY_", "OMP_"))] == []


def test_the_sweep_is_the_parent_of_its_cells_runs(swept: SweptRepository) -> None:
    (swept.root / "pipeline/train.py").write_text(
        (swept.root / "pipeline/train.py")
        .read_text()
        .replace(
            "begin = int",
            'Path(os.environ["RESGRID_STATE"], "parent").write_text(os.environ["RESGRID_PARENT_RUN"])\nbegin = int',
        )
    )
    assert swept.sweep("--select", "plain8", "--seeds", "0").returncode == 0
    client = MlflowClient(f"sqlite:///{swept.root}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("Counting")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("sweep", "FINISHED")
    assert run.data.metrics["sweep/cells_done"] == 1
    assert 0 < run.data.metrics["sweep/efficiency"] <= 1
    assert (swept.root / ".resgrid/parent").read_text() == run.info.run_id


def test_a_cell_that_breaks_its_declaration_fails_and_the_others_finish(swept: SweptRepository) -> None:
    faults = f"""
if cell == "plain8-0":
    open({str(swept.root / "params.yaml")!r})
if cell == "plain8-1":
    Path("runs", cell, "notes.txt").write_text("undeclared")
if cell == "resnet8-A-0":
    Path("runs", cell, "metrics.json").unlink()
"""
    (swept.root / "pipeline/train.py").write_text((swept.root / "pipeline/train.py").read_text() + faults)
    swept.set_params(sweep={"max_failures": 0})
    done = swept.sweep()
    assert done.returncode == 1
    assert "1 cells done, 0 restored, 0 were up to date, 3 failed, 0 stopped" in done.stderr
    logs = swept.root / ".resgrid/sweep/logs"
    assert f"failed: plain8-0: train@plain8-0: exit status 1; read {logs}/train@plain8-0.log" in done.stderr
    assert (
        "params.yaml: not declared by this stage; add it to the stage's deps"
        in (logs / "train@plain8-0.log").read_text()
    )
    assert "train@plain8-1: runs/plain8-1/notes.txt: written, but not declared; add it" in done.stderr
    assert "train@resnet8-A-0: runs/resnet8-A-0/metrics.json: not written; read" in done.stderr
    recorded = {name for name in swept.dvc_lock() if "@" in name}
    assert recorded == {"train@resnet8-A-1", "evaluate@resnet8-A-1"}
    assert {path.name for path in (swept.root / "runs").iterdir()} == {"resnet8-A-1"}
    assert not (swept.root / "report.txt").exists()
    assert not swept.processes()


def test_edits_reach_no_running_cell_and_leave_it_stale_and_a_killed_cell_resumes(
    swept: SweptRepository,
) -> None:
    swept.set_params(train={"max_steps": 12})
    swept.hold(8, *CELLS)
    sweep = swept.begin_sweep()
    wait_until(lambda: swept.saved_step("plain8-1") >= 5, "a few steps")
    swept.set_params(train={"max_steps": 2})
    code = swept.root / "pipeline/train.py"
    code.write_text(code.read_text() + 'Path("runs", cell, "weights.txt").write_text("edited")\n')
    (process,) = [p for p in swept.processes() if p.cmdline()[-1] == "plain8-1" and p.cmdline()[-2] == "pipeline.train"]
    process.send_signal(signal.SIGKILL)
    swept.release()
    assert sweep.wait(timeout=500) == 0, swept.log.read_text()
    assert "plain8-1: train@plain8-1: was killed by signal 9" in swept.log.read_text()
    assert "reports/ stays as it is: 4 cells are stale" in swept.log.read_text()
    first, second = swept.begins("plain8-1")
    assert (first, second >= 5) == (0, True)
    for cell in CELLS:
        assert '"max_steps": 12' in (swept.root / "runs" / cell / "weights.txt").read_text()
        assert '"steps": 12' in (swept.root / "runs" / cell / "evaluation.json").read_text()
    stale = swept.stale()
    assert {name for name in stale if name.startswith("train@")} == {f"train@{cell}" for cell in CELLS}
    assert "deps" in str(stale["train@plain8-0"])


def test_a_killed_sweep_and_a_terminated_sweep_resume(swept: SweptRepository) -> None:
    swept.set_params(train={"max_steps": 10})
    graph = swept.root / "dvc.yaml"
    # Through a shell, which a signal ends before its program.
    graph.write_text(
        graph.read_text().replace("python -u -m pipeline.train ${key}", "python -u -m pipeline.train ${key} && true")
    )
    cells, others = ("plain8-0", "plain8-1"), ("resnet8-A-0", "resnet8-A-1")
    swept.hold(5, *cells)
    swept.hold(4, *others)
    sweep = swept.begin_sweep(SHELL="/bin/sh")
    wait_until(lambda: all(swept.saved_step(cell) >= 3 for cell in cells), "a few steps")
    os.kill(sweep.pid, signal.SIGKILL)
    sweep.wait()
    wait_until(lambda: not swept.processes(), "the end of all processes of the killed sweep", seconds=60)
    assert all(swept.saved_when_stopped(cell) for cell in cells)

    swept.hold(100, *cells)
    sweep = swept.begin_sweep(SHELL="/bin/sh")
    lock = swept.root / ".dvc/tmp/rwlock"
    wait_until(lambda: lock.exists() and str(sweep.pid) in lock.read_text(), "the sweep's lock")
    second = swept.sweep()
    assert second.returncode == 1
    assert f"(PID {sweep.pid})" in second.stderr
    wait_until(lambda: any(swept.saved_step(cell) >= 3 for cell in others), "a few steps of the next cells")
    os.kill(sweep.pid, signal.SIGINT)
    assert sweep.wait(timeout=300) == 1, swept.log.read_text()
    assert "rerun the sweep to resume from their checkpoints" in swept.log.read_text()
    assert not swept.processes()
    assert any(swept.saved_when_stopped(cell) for cell in others)
    assert swept.stale().keys() >= {f"train@{cell}" for cell in others}

    swept.release()
    done = swept.sweep()
    assert done.returncode == 0, done.stderr
    for cell in cells:
        begins = swept.begins(cell)
        assert len(begins) == 2
        assert begins[1] >= 3
    assert swept.stale() == {}
    assert {name for name in swept.dvc_lock() if "@" in name} == {
        f"{stage}@{cell}" for stage in STAGES for cell in CELLS
    }


def test_a_second_interrupt_kills_cells_that_do_not_exit(swept: SweptRepository) -> None:
    code = swept.root / "pipeline/train.py"
    code.write_text(code.read_text().replace("signals.append(number)", "None"))
    swept.hold(1, *CELLS)
    sweep = swept.begin_sweep()
    wait_until(lambda: swept.saved_step("plain8-0") == 1, "a step")
    os.kill(sweep.pid, signal.SIGINT)
    time.sleep(2)
    assert sweep.poll() is None
    os.kill(sweep.pid, signal.SIGINT)
    # Less than the minute that a cell has to save a checkpoint.
    assert sweep.wait(timeout=30) == 1, swept.log.read_text()
    assert not [process for process in swept.processes() if process.cmdline()[-2] == "pipeline.train"]
    assert "0 cells done, 0 restored, 0 were up to date, 0 failed, 4 stopped" in swept.log.read_text()
    assert not any("@" in name for name in swept.dvc_lock())
    swept.release()
    assert swept.sweep().returncode == 0
    assert swept.begins("plain8-0") == [0, 1]


@pytest.mark.skipif(not CAN_MOUNT, reason="needs the right to make a mount namespace")
def test_a_full_disk_loses_nothing(swept: SweptRepository) -> None:
    code = swept.root / "pipeline/train.py"
    large = 'cell == "plain8-0" and Path("runs", cell, "weights.txt").write_bytes(bytes(200_000))\n'
    code.write_text(code.read_text() + large)
    swept.set_params(sweep={"max_failures": 0})
    swept.run("dvc", "repro", "preprocess")
    cache = swept.root / ".dvc/cache"
    held = swept.root / ".dvc/held"
    mount = f'cp -r {cache} {held} && mount -t tmpfs -o size=150k none {cache} && cp -r {held}/. {cache} && exec "$@"'
    namespace = ["unshare", "--mount", "--map-root-user", "sh", "-c", mount, "sh"]
    full = swept.run(*namespace, "python", "-m", "resgrid", "sweep", check=False)
    assert full.returncode == 1, full.stderr
    assert "failed: plain8-0: train@plain8-0: can't be recorded:" in full.stderr
    assert "No space left on device" in full.stderr
    assert "fix the cause and rerun the sweep, which records it without running it again" in full.stderr
    # The cache with the recorded outputs was on the small disk, which is gone. DVC leaves a part of the large file on
    # that disk, so other stages may have found no space either, until the sweep terminated its cells.
    if recorded := [stage for stage in swept.dvc_lock() if "@" in stage]:
        swept.run("dvc", "commit", "-f", *recorded)
    done = swept.sweep()
    assert done.returncode == 0, done.stderr
    assert "recorded from an interrupted sweep: train@plain8-0" in done.stderr
    assert [swept.begins(cell).count(0) for cell in CELLS] == [1] * 4
    assert swept.stale() == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--select", "resnet9*"],
            "--select: 'resnet9*': matches no cell; the grid's networks are plain8, resnet8-A",
        ),
        (["--seeds", "7"], "--seeds: 7: not in the grid; use 0, 1"),
    ],
)
def test_a_selection_without_cells_is_an_error(swept: SweptRepository, options: list[str], message: str) -> None:
    swept.run("dvc", "repro", "preprocess")
    done = swept.sweep(*options)
    assert (done.returncode, f"error: {message}" in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"devices": 2, "batch_size": 32}, "sweep.resources.cpus: 1: too few; use at least 2, the threads of a cell"),
        ({"num_nodes": 2, "batch_size": 32}, "train.num_nodes: 2: sweeps and searches train each cell on one node"),
    ],
)
def test_resources_that_no_cell_can_use_are_an_error(
    swept: SweptRepository, train: dict[str, int], message: str
) -> None:
    swept.set_params(train=train)
    done = swept.sweep()
    assert done.returncode == 1
    assert f"error: {message}" in done.stderr


def test_a_cluster_that_is_too_small_is_an_error(swept: SweptRepository) -> None:
    swept.set_params(sweep={"resources": {"cpus": 100_000, "gpus": 0}})
    done = swept.sweep()
    assert done.returncode == 1
    assert "error: sweep.resources: cpus 100000, gpus 0: no node has that; use at most" in done.stderr
