"""Real DDP processes (gloo) against one process: equal images, counts and losses."""

import csv
import json
import os
import signal
import socket
from pathlib import Path

import numpy as np
import pytest

from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from support.repository import Repository

FIT_ON_RANKS, SCORE_SPLIT = (str(Path(__file__).with_name(name)) for name in ("fit_on_ranks.py", "score_split.py"))


def test_one_two_and_three_ranks_count_the_same_to_the_integer(repository: Repository) -> None:
    scores: dict[int, list[float]] = {}
    for devices in (1, 2, 3):  # 240 images over 3 ranks are even, 1,197 over 2 are not
        repository.set_params(train={"devices": devices, "batch_size": 6})
        repository.run("python", SCORE_SPLIT)
        scores[devices] = [float(number) for number in (repository.root / "score.txt").read_text().split()]
    assert scores[1][1] == 1197
    for devices in (2, 3):
        assert scores[devices][:2] == scores[1][:2]
        assert scores[devices][2] == pytest.approx(scores[1][2], rel=1e-6)


def test_ranks_may_validate_different_numbers_of_batches(repository: Repository) -> None:
    """Of 129 images, the first rank has 65, which are two batches; the second rank has 64, which are one."""
    repository.set_params(train={"devices": 2, "max_steps": 4, "val_every": 2}, schedule={"milestones": []})
    prepared = PreparedPaths(repository.root / "data/prepared")
    card = DatasetCard.read(prepared.card).model_copy(update={"sha256": {}})
    for path in (prepared.images("val"), prepared.labels("val")):
        part = np.load(path)[:129]
        path.unlink()  # may be shared with DVC's cache
        np.save(path, part)
    prepared.card.unlink()
    card.write(prepared.card)
    repository.run("python", FIT_ON_RANKS)
    seen = json.loads((repository.root / "seen.json").read_text())
    assert seen["images"] == 129
    assert seen["syncs buffers"] == [False] * 4
    assert seen["gradients are views"] == [True] * 4
    assert seen["same strides"] == [True] * 4


def test_two_ranks_with_global_batch_norm_train_like_one(repository: Repository) -> None:
    repository.set_params(
        train={"max_steps": 20, "val_every": 1, "sync_batchnorm": True},
        schedule={"milestones": []},
        optimizer={"lr": 0.01},
    )
    losses: dict[int, list[float]] = {}
    gradients: dict[int, list[dict[str, str]]] = {}
    for devices in (1, 2):
        repository.set_params(train={"devices": devices})
        repository.run("python", "-m", "pipeline.train", "--network", "resnet8-A", "--seed", "0")
        with (repository.root / "runs/resnet8-A-0/curve.csv").open() as file:
            losses[devices] = [float(row["train/loss"]) for row in csv.DictReader(file)]
        with (repository.root / "runs/resnet8-A-0/gradients.csv").open() as file:
            gradients[devices] = list(csv.DictReader(file))
    assert len(losses[1]) == 20
    assert losses[2] == pytest.approx(losses[1], abs=1e-4)
    assert len(gradients[1]) == len(gradients[2]) == 3 * 8
    for one, two in zip(gradients[1], gradients[2], strict=True):
        assert (one["step"], one["layer"]) == (two["step"], two["layer"])
        for column in ("gradient_norm", "update_ratio"):
            assert float(two[column]) == pytest.approx(float(one[column]), rel=1e-3), (one, two)
    records = list((repository.root / ".resgrid/records").glob("resnet8-A-0-*.json"))
    assert len(records) == 2  # one for each fingerprint, none for a second rank


def test_two_nodes_train_like_two_devices_of_one(repository: Repository, tmp_path: Path) -> None:
    """Start two nodes with torchrun; only `train.threads` limits their threads."""
    repository.set_params(train={"max_steps": 10, "val_every": 5, "devices": 2}, schedule={"milestones": []})
    train = ("-m", "pipeline.train", "--network", "resnet8-A", "--seed", "0")
    repository.run("python", *train)
    weights = repository.root / "runs/resnet8-A-0/weights.safetensors"
    from_one_node = weights.read_bytes()
    weights.unlink()

    repository.set_params(train={"devices": 1, "num_nodes": 2})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    torchrun = (
        "torchrun",
        "--nnodes",
        "2",
        "--nproc-per-node",
        "1",
        "--master-addr",
        "127.0.0.1",
        "--master-port",
        port,
    )
    log = tmp_path / "second.log"
    second = repository.begin(log, *torchrun, "--node-rank", "1", *train)
    try:
        messages = repository.run(*torchrun, "--node-rank", "0", *train).stderr
        assert second.wait(timeout=120) == 0, log.read_text()
    finally:
        if second.poll() is None:
            os.killpg(second.pid, signal.SIGKILL)
    assert "2 × cpu" in messages
    assert weights.read_bytes() == from_one_node
    records = [json.loads(path.read_text()) for path in (repository.root / ".resgrid/records").glob("*.json")]
    assert [(record["train"]["devices"], record["train"]["threads"]) for record in records] == [(2, 1), (2, 1)]
