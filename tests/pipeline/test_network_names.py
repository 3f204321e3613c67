"""The names of networks in real DVC: stage keys, folders, targets."""

import json

import pytest

from support.repository import Repository


@pytest.mark.slow
def test_any_network_s_name_is_a_stage_a_folder_and_a_target(repository: Repository) -> None:
    names = ["torchvision-squeezenet1_1", "resnet11-B-bottleneck-stride3x3"]
    repository.set_params(grid={"network": names})
    repository.run("dvc", "repro", "sources")
    repository.run("dvc", "repro", "-s", *(f"{stage}@{name}-0" for name in names for stage in ("train", "evaluate")))
    for name in names:
        evaluation = json.loads((repository.root / "runs" / f"{name}-0" / "evaluation.json").read_text())
        assert 0 <= evaluation["test_error"] <= 100
    assert {f"train@{name}-0" for name in names} <= repository.dvc_lock().keys()


def test_a_builder_that_torchvision_lacks_is_named_before_any_training(repository: Repository) -> None:
    repository.set_params(grid={"network": ["torchvision-vgg17"]})
    repository.run("python", "-m", "pipeline.sources")
    done = repository.run(
        "python", "-m", "pipeline.train", "--network", "torchvision-vgg17", "--seed", "0", check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: 'torchvision-vgg17': torchvision ")
    assert "has no classification network 'vgg17'; use one of those that" in done.stderr
    assert not (repository.root / "runs").exists()
