"""Mistakes of the user and of the machine, on the command line: one plain answer, exit status 1, nothing lost."""

import shutil
import socket
import subprocess

import pytest

from support.repository import Repository

TRAIN = "python -m pipeline.train --network plain8 --seed 0"


def answer(repository: Repository, *command: str) -> str:
    done = repository.run(*command, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_wrong_network_name(prepared_repository: Repository) -> None:
    message = answer(prepared_repository, "python", "-m", "pipeline.train", "--network", "resnet21-A", "--seed", "0")
    assert message.startswith("error: 'resnet21-A': depth 21 is not 6n+2; use")


def test_a_negative_seed(prepared_repository: Repository) -> None:
    message = answer(prepared_repository, "python", "-m", "pipeline.evaluate", "--network", "plain8", "--seed", "-1")
    assert message == "error: seed: -1: out of range; use 0 to 4294967295\n"


def test_wrong_parameters_stop_a_stage_before_it_does_anything(repository: Repository) -> None:
    repository.set_params(optimizer={"lr": -1}, train={"devices": 3})
    assert answer(repository, *TRAIN.split()).splitlines() == [
        "error: params.yaml: 2 mistakes",
        "  optimizer.lr: -1: should be greater than 0",
        "  train.batch_size: 32: can't be divided evenly over 3 devices × 1 nodes; use a multiple of their product",
    ]
    assert not (repository.root / "runs").exists()


def test_a_padding_beyond_the_image(repository: Repository) -> None:
    repository.set_params(augment={"pad": 8})
    message = answer(repository, *TRAIN.split())
    assert "error: augment.pad: 8: reaches across images of 8×8 pixels; choose a smaller pad" in message


def test_data_that_are_not_prepared(repository: Repository) -> None:
    shutil.rmtree(repository.root / "data/prepared")
    assert "error: data/prepared/card.json: is missing; run `dvc repro`" in answer(repository, *TRAIN.split())


def test_a_cell_that_is_not_trained(prepared_repository: Repository) -> None:
    message = answer(prepared_repository, "python", "-m", "pipeline.evaluate", "--network", "plain8", "--seed", "0")
    assert "error: runs/plain8-0/weights.safetensors: does not exist; train the cell first, with `make run`" in message


def test_code_that_changed_since_its_manifest_was_written(repository: Repository) -> None:
    with (repository.root / "src/resgrid/models/blocks.py").open("a", encoding="utf-8") as file:
        file.write("UNUSED = 1\n")
    message = answer(repository, *TRAIN.split())
    expected = "sources/train/plain8.json: src/resgrid/models/blocks.py: the file has changed; run `dvc repro"
    assert expected in message.replace("\n", " ")
    assert not (repository.root / "runs").exists()


def test_an_unknown_preset(prepared_repository: Repository) -> None:
    message = answer(prepared_repository, "python", "-m", "resgrid", "preset", "cifar")
    allowed = sorted(path.stem for path in (prepared_repository.root / "presets").glob("*.yaml"))
    assert f"preset: 'cifar': no such preset; use {', '.join(allowed)}\n" in message


def test_a_preset_never_overwrites_edits_unasked(repository: Repository) -> None:
    edited = (repository.root / "params.yaml").read_bytes()
    message = answer(repository, "python", "-m", "resgrid", "preset", "cifar10-paper")
    assert "train.max_steps: 420 → 40" in message
    assert (repository.root / "params.yaml").read_bytes() == edited
    replaced = repository.run("python", "-m", "resgrid", "preset", "cifar10-paper", "--replace")
    assert "cifar10-paper: cifar10, 9 networks × 5 seeds = 45 cells of 64,000 steps" in replaced.stderr
    assert (repository.root / "params.yaml.1.bak").read_bytes() == edited
    # A preset as it was put there holds no edits.
    repository.run("python", "-m", "resgrid", "preset", "digits")
    assert not (repository.root / "params.yaml.2.bak").exists()


def test_a_taken_port(prepared_repository: Repository) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = answer(prepared_repository, "python", "-m", "resgrid", "dashboard", "--port", str(port))
    assert f"port: {port}: already in use on 127.0.0.1; choose another: make dashboard PORT={port + 1}" in message


def can_mount() -> bool:
    command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return bool(shutil.which("unshare")) and not subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.skipif(not can_mount(), reason="this system lets no user mount a file system of their own")
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        # 200 kB: the metrics of a cell fit, its 300 kB of weights don't.
        ("size=200k", "No space left on device; make room in"),
        ("size=200k,ro", "Read-only file system"),
    ],
)
def test_a_full_disk_or_a_read_only_folder_for_the_outs(repository: Repository, options: str, problem: str) -> None:
    (repository.root / "runs").mkdir()
    mount = f"mount -t tmpfs -o {options} none runs && {TRAIN}; status=$?; ls -A runs/*; exit $status"
    done = repository.run("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert problem in done.stderr
    assert "runs/plain8-0" in done.stderr
    assert done.stdout == ""  # nothing half-written
    # What was computed is not lost: the training goes on where its last checkpoint was.
    assert "resumes from step-00000035.ckpt" in repository.run(*TRAIN.split()).stderr
