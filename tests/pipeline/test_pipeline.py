"""The whole pipeline with real DVC, Lightning and MLflow: what runs, what is skipped, what is written."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from resgrid.evaluation.analyses import ANALYSES
from support.repository import Repository, copy_repository


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository in which everything has been run once and is committed."""
    repository = copy_repository(tmp_path_factory.mktemp("finished"))
    ran = repository.run("python", "-m", "resgrid", "run", SHELL="/usr/sbin/nologin")  # DVC would run stages in it
    assert ran.stderr.endswith("the report is reports/index.html; browse the runs with `make dashboard`\n")
    repository.commit("results")
    return repository


@pytest.fixture
def repository(finished: Repository, tmp_path: Path) -> Repository:
    root = tmp_path / "repository"
    shutil.copytree(finished.root, root, symlinks=True)
    return Repository(root)


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def stages_run(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


def edit(repository: Repository, path: str, text: str) -> None:
    with (repository.root / path).open("a", encoding="utf-8") as file:
        file.write(text)


def test_every_cell_has_its_files_and_the_summary_its_numbers(finished: Repository) -> None:
    for cell in ("plain8-0", "resnet8-A-0"):
        files = {path.name for path in (finished.root / "runs" / cell).iterdir()}
        assert files == {
            "weights.safetensors",
            "selected.safetensors",
            "trace.safetensors",
            "anchors.safetensors",
            "curve.csv",
            "gradients.csv",
            "metrics.json",
            "logits.npy",
            "evaluation.json",
            "complexity.json",
            *ANALYSES,
        }
        header, *rows = (finished.root / "runs" / cell / "curve.csv").read_text().splitlines()
        assert header == "step,epoch,lr,train/loss,train/error,val/loss,val/error"
        assert [row.split(",")[0] for row in rows] == ["10", "20", "30", "40"]
        assert [float(row.split(",")[2]) for row in rows] == pytest.approx([0.1, 0.1, 0.01, 0.001])
        gradients = read_rows(finished.root / "runs" / cell / "gradients.csv")
        assert [(row["step"], row["index"]) for row in gradients] == [
            (str(step), str(index)) for step in (1, 20, 40) for index in range(1, 9)
        ]
        assert (gradients[0]["layer"], gradients[7]["layer"]) == ("conv1", "linear")
        responses = read_rows(finished.root / "runs" / cell / "responses.csv")
        assert [row["index"] for row in responses] == [str(index) for index in range(1, 8)]
        blocks = read_rows(finished.root / "runs" / cell / "blocks.csv")
        assert [row["block"] for row in blocks] == ["layer1.0", "layer2.0", "layer3.0"]
        assert all((row["residual_ratio"] == "") == cell.startswith("plain") for row in blocks)
        error = json.loads((finished.root / "runs" / cell / "evaluation.json").read_text())["test_error"]
        assert {float(row["intact_error"]) for row in blocks} == {error}
    summary = json.loads((finished.root / "reports/summary.json").read_text())
    assert [cell["network"] for cell in summary["cells"]] == ["plain8", "resnet8-A"]
    for cell in summary["cells"]:
        assert re.fullmatch(r"[0-9a-f]{32}", cell["run_id"])
        assert re.fullmatch(r"[0-9a-f]{64}", cell["fingerprint"])
        assert cell["parameters"] == 75_002
        folder = finished.root / "runs" / f"{cell['network']}-{cell['seed']}"
        metrics = json.loads((folder / "metrics.json").read_text())
        assert (cell["train_error"], cell["val_error"]) == (metrics["train_error"], metrics["val_error"])
        complexity = json.loads((folder / "complexity.json").read_text())
        assert (complexity["depth"], complexity["parameters"]) == (8, 75_002)
        assert cell["test_error"] == json.loads((folder / "evaluation.json").read_text())["test_error"]
    assert (finished.root / "reports/index.html").stat().st_size > 10_000


def test_no_out_holds_a_time_a_host_or_a_run_id(finished: Repository) -> None:
    (record,) = (finished.root / ".resgrid/records").glob("plain8-0-*.json")
    lineage = json.loads(record.read_text())
    for path in (finished.root / "runs/plain8-0").iterdir():
        content = path.read_bytes()
        assert lineage["run_id"].encode() not in content, path
        assert lineage["train"]["started"][:10].encode() not in content, path


def test_running_again_runs_nothing(repository: Repository) -> None:
    assert stages_run(repository.run("dvc", "repro").stdout) == []
    assert "up to date" in repository.run("dvc", "status").stdout


def test_a_new_network_runs_alone(repository: Repository) -> None:
    repository.set_params(grid={"network": ["plain8", "resnet8-A", "resnet8-B"]})
    output = repository.run("dvc", "repro").stdout
    assert stages_run(output) == ["sources", "train@resnet8-B-0", "evaluate@resnet8-B-0", "report"]


def test_a_failed_cell_stops_no_other_and_is_missing_in_a_preliminary_report(repository: Repository) -> None:
    (repository.root / "runs/plain14-0").write_text("in the way")
    repository.set_params(grid={"network": ["plain8", "resnet8-A", "plain14", "resnet8-B"]}, sweep={"max_failures": 0})
    committed = (repository.root / "reports/index.html").read_bytes()
    ran = repository.run("python", "-m", "resgrid", "run", check=False, COLUMNS="200")
    assert ran.returncode == 1
    assert "1 cells done, 0 restored, 2 were up to date, 1 failed, 0 stopped" in ran.stderr
    assert "reports/ stays as it is: 1 cells are stale" in ran.stderr
    assert "a preliminary report without these cells: .resgrid/preliminary-report/index.html" in ran.stderr
    assert (repository.root / "reports/index.html").read_bytes() == committed
    preliminary = repository.root / ".resgrid/preliminary-report"
    assert "Preliminary: 1 of 4 cells are missing:</strong> plain14-0" in (preliminary / "index.html").read_text()
    networks = json.loads((preliminary / "summary.json").read_text())["networks"]
    assert [network["network"] for network in networks] == ["plain8", "resnet8-A", "resnet8-B"]


def test_an_edited_comment_runs_no_cell_and_an_edited_statement_runs_those_that_it_can_change(
    repository: Repository,
) -> None:
    edit(repository, "src/resgrid/models/blocks.py", "# A comment.\n")
    assert stages_run(repository.run("dvc", "repro").stdout) == ["sources"]
    edit(repository, "src/resgrid/evaluation/lesion.py", "UNUSED = 1\n")
    # The evaluations write the same bytes again, so the report is not stale.
    assert stages_run(repository.run("dvc", "repro").stdout) == [
        "sources",
        "evaluate@plain8-0",
        "evaluate@resnet8-A-0",
    ]
    assert "up to date" in repository.run("dvc", "status").stdout


def test_a_network_s_name_is_checked_before_it_reaches_a_shell(repository: Repository) -> None:
    repository.set_params(grid={"network": ["plain8; touch PWNED #"]})
    done = repository.run("dvc", "repro", check=False)
    assert done.returncode
    assert "grid.network[0]: 'plain8; touch PWNED #'" in done.stderr
    assert not (repository.root / "PWNED").exists()


def test_another_rate_trains_again_and_downloads_nothing(repository: Repository) -> None:
    repository.set_params(optimizer={"lr": 0.05}, grid={"network": ["plain8"]})
    before = repository.dvc_lock()["train@plain8-0"]["outs"]
    run = stages_run(repository.run("dvc", "repro").stdout)
    assert run == ["sources", "train@plain8-0", "evaluate@plain8-0", "report"]
    assert repository.dvc_lock()["train@plain8-0"]["outs"] != before


def test_deleted_results_come_back_from_the_cache_without_training(repository: Repository) -> None:
    weights = (repository.root / "runs/plain8-0/weights.safetensors").read_bytes()
    shutil.rmtree(repository.root / "runs")
    assert stages_run(repository.run("dvc", "repro").stdout) == []
    assert (repository.root / "runs/plain8-0/weights.safetensors").read_bytes() == weights


def test_an_experiment_overrides_a_parameter(repository: Repository) -> None:
    repository.run("dvc", "exp", "run", "-S", "optimizer.lr=0.05", "-S", "grid.network=[plain8]", "--name", "lower")
    shown = json.loads(repository.run("dvc", "exp", "show", "--json").stdout)
    experiment = shown[0]["experiments"] or shown[1]["experiments"]
    assert experiment[0]["name"] == "lower"
    assert experiment[0]["revs"][0]["data"]["params"]["params.yaml"]["data"]["optimizer"]["lr"] == 0.05


def test_dvc_shows_metrics_and_plots(finished: Repository) -> None:
    metrics = json.loads(finished.run("dvc", "metrics", "show", "--json").stdout)[""]["data"]
    assert "test_error" in metrics["runs/plain8-0/evaluation.json"]["data"]
    plots = json.loads(finished.run("dvc", "plots", "show", "--json").stdout)["data"]
    drawn = ("curve", "gradients", "confusion", "responses", "blocks")
    assert {f"runs/plain8-0/{name}.csv" for name in drawn} <= set(plots)


def test_verify_finds_the_very_bytes_and_tells_of_other_ones(repository: Repository) -> None:
    same = repository.run("python", "-m", "resgrid", "verify")
    assert "7 × same bytes" in same.stderr
    repository.set_params(train={"threads": 2})
    repository.run("dvc", "repro", "evaluate@plain8-0")
    changed = repository.run("python", "-m", "resgrid", "verify", "--tolerance", "100", COLUMNS="200")
    assert "same metrics" in changed.stderr
    assert "runs/plain8-0/weights.safetensors" in changed.stderr


def test_the_warm_up_ends_at_the_error_and_the_full_rate_follows(
    prepared_repository: Repository, tmp_path: Path
) -> None:
    root = tmp_path / "warm"
    shutil.copytree(prepared_repository.root, root, symlinks=True)
    repository = Repository(root)
    repository.set_params(
        train={"val_every": 1},
        schedule={"warmup": {"from_depth": 8, "lr": 0.01, "until_train_error": 80, "window": 4}},
    )
    repository.run("python", "-m", "pipeline.train", "--network", "plain8", "--seed", "0")
    curve = read_rows(root / "runs/plain8-0/curve.csv")
    rows = [{name: float(value) for name, value in row.items()} for row in curve]
    windows = [sum(row["train/error"] for row in rows[start : start + 4]) / 4 for start in range(0, 20, 4)]
    ended = next(index for index, error in enumerate(windows) if error < 80)
    assert ended > 0, "the first window must be above 80 %, else the test shows nothing"
    rates = [row["lr"] for row in rows]
    assert rates[: 4 * (ended + 1)] == [0.01] * 4 * (ended + 1)
    assert rates[4 * (ended + 1) : 20] == [0.1] * (20 - 4 * (ended + 1))


def test_a_cell_twice_gives_the_same_weights(
    finished: Repository, prepared_repository: Repository, tmp_path: Path
) -> None:
    root = tmp_path / "again"
    shutil.copytree(prepared_repository.root, root, symlinks=True)
    again = Repository(root)
    again.run("python", "-m", "pipeline.train", "--network", "plain8", "--seed", "0")
    for name in ("weights.safetensors", "selected.safetensors", "curve.csv", "gradients.csv", "metrics.json"):
        ours, theirs = (repository.root / "runs/plain8-0" / name for repository in (again, finished))
        assert ours.read_bytes() == theirs.read_bytes()
