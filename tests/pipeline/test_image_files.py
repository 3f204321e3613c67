"""Image files through the whole graph, with real DVC: nothing is copied, a change is noticed, a kill changes no bit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.image_folder import CUT_OFF, make_image_folder
from support.repository import Repository, copy_repository

TRAIN = ("python", "-m", "pipeline.train", "--network", "resnet8-A", "--seed", "0")
SCORE_SPLIT = str(Path(__file__).parents[1] / "training" / "score_split.py")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A folder of image files beside a repository in which everything has been run once, without decoding workers."""
    place = tmp_path_factory.mktemp("image-files")
    make_image_folder(place / "images", cut_off=True)
    repository = copy_repository(place / "repository")
    repository.set_params(
        data={
            "name": "imagefolder",
            "source": str(place / "images"),
            "storage": "files",
            "image_size": 24,
            "shorter_side": 28,
            "corrupt": "skip",
        },
        split={"val": 6, "test": None},
        grid={"network": ["resnet8-A"]},
        augment={"pad": 0, "flip": True, "crop": {"shorter_side": [26, 40]}, "lighting": 0.1},
        schedule={"milestones": [], "plateau": {"patience": 1, "min_change": 0.0}},
        train={"batch_size": 6, "max_steps": 60, "val_every": 20},
        evaluate={"views": "multi_scale", "scales": [24, 32]},
    )
    repository.run("dvc", "repro", "evaluate@resnet8-A-0")
    repository.commit("results")
    return repository


@pytest.fixture
def repository(finished: Repository, tmp_path: Path) -> Repository:
    """A copy of one's own; the images stay where they are."""
    shutil.copytree(finished.root, tmp_path / "repository", symlinks=True)
    return Repository(tmp_path / "repository")


def outs(repository: Repository) -> dict[str, bytes]:
    names = ("weights.safetensors", "selected.safetensors", "curve.csv")
    return {name: (repository.root / "runs/resnet8-A-0" / name).read_bytes() for name in names}


def test_the_graph_runs_and_dvc_holds_the_index_and_no_image(finished: Repository) -> None:
    assert [path.name for path in (finished.root / "data/raw").iterdir()] == ["index.csv"]
    largest = max(path.stat().st_size for path in (finished.root / ".dvc/cache").rglob("*") if path.is_file())
    assert largest == (finished.root / "runs/resnet8-A-0/anchors.safetensors").stat().st_size
    card = json.loads((finished.root / "data/prepared/card.json").read_text())
    assert card["counts"] == {"train": 29, "val": 6, "test": 15}
    assert list(card["skipped"]) == [CUT_OFF]
    evaluation = json.loads((finished.root / "runs/resnet8-A-0/evaluation.json").read_text())
    assert evaluation["images"] == 15
    assert "up to date" in finished.run("dvc", "status", "evaluate@resnet8-A-0").stdout


def start(repository: Repository, *command: str) -> subprocess.Popen[bytes]:
    """In a process group of its own; messages go to `log`."""
    return repository.begin(log(repository), *command)


def log(repository: Repository) -> Path:
    return repository.root.with_name("log.txt")


def wait_for_step(repository: Repository, step: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a checkpoint of that step, or a later one, has its checksum file."""
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline:
        complete = (repository.root / ".resgrid/checkpoints").glob("*/step-*.seal.json")
        if any(int(path.name[5:13]) >= step for path in complete):
            return
        time.sleep(0.002)
    raise AssertionError(f"no checkpoint of step {step}: {log(repository).read_text()}")


@pytest.mark.parametrize(
    "end",
    [
        signal.SIGTERM,  # as on a preempted node: every process of the job is told, the workers too
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_ended_with_workers_and_resumed_it_makes_the_bytes_of_an_undisturbed_run(
    repository: Repository, finished: Repository, tmp_path: Path, end: signal.Signals
) -> None:
    whole = outs(repository)
    repository.set_params(machine={"workers": 2})
    process = start(repository, *TRAIN)
    wait_for_step(repository, 25, process)
    os.killpg(process.pid, end)
    assert process.wait(timeout=120) == (128 + end if end == signal.SIGTERM else -end), log(repository).read_text()
    # Copies of the files serve as well as the originals.
    copies = shutil.copytree(finished.root.with_name("images"), tmp_path / "copies")
    assert "resumes from step-" in repository.run(*TRAIN, RESGRID_IMAGES=str(copies)).stderr
    assert outs(repository) == whole
    rates = [float(line.split(",")[2]) for line in whole["curve.csv"].decode().splitlines()[1:]]
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] < 0.05  # the plateau rule was at work on the way


@pytest.mark.slow
def test_a_changed_image_ends_the_training_with_its_name(
    repository: Repository, finished: Repository, tmp_path: Path
) -> None:
    copies = Path(shutil.copytree(finished.root.with_name("images"), tmp_path / "copies"))
    changed = copies / "train/cat/00.jpg"
    changed.write_bytes(changed.read_bytes() + b"\0")
    repository.set_params(machine={"workers": 1})
    done = repository.run(*TRAIN, check=False, RESGRID_IMAGES=str(copies))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "train/cat/00.jpg: the content has changed since the images were indexed" in done.stderr


@pytest.mark.slow
def test_two_ranks_with_workers_count_and_train_like_one(repository: Repository) -> None:
    """In the loss of 10 steps with batch norm over both ranks, and in the errors of every training image."""
    scores: dict[int, list[float]] = {}
    losses: dict[int, list[float]] = {}
    for devices in (1, 2):
        repository.set_params(
            machine={"workers": 1},
            train={"devices": devices, "sync_batchnorm": True, "max_steps": 10, "val_every": 1},
            optimizer={"lr": 0.01},
        )
        repository.run("python", SCORE_SPLIT)
        scores[devices] = [float(number) for number in (repository.root / "score.txt").read_text().split()]
        repository.run(*TRAIN)
        lines = (repository.root / "runs/resnet8-A-0/curve.csv").read_text().splitlines()[1:]
        losses[devices] = [float(line.split(",")[3]) for line in lines]
    assert scores[1][1] == 29
    assert scores[2][:2] == scores[1][:2]
    assert losses[2] == pytest.approx(losses[1], abs=1e-4)
