"""What MLflow's pages show: a cell's data, model and times, the runs of networks over seeds, superseded runs."""

from datetime import datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, LoggedModel, Run, ViewType

from resgrid.cells import Cell
from resgrid.commands.track import describe
from resgrid.reporting.statistics import Sample
from resgrid.tracking import start_run
from resgrid.tracking.catch_up import catch_up
from resgrid.tracking.store import tracking_uri
from resgrid.tracking.tidy import delete, find_needless
from tracking.conftest import evaluated_cell


@pytest.fixture
def client(store: Path) -> MlflowClient:
    return MlflowClient(tracking_uri())


def runs(client: MlflowClient, filter_string: str = "", view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], filter_string, run_view_type=view))


def data_of(run: Run) -> list[DatasetInput]:
    assert run.inputs is not None
    return run.inputs.dataset_inputs


def model_of(client: MlflowClient, run: Run) -> LoggedModel:
    assert run.outputs is not None
    (output,) = run.outputs.model_outputs
    return client.get_logged_model(output.model_id)


def test_a_run_has_its_data_its_model_and_its_times(client: MlflowClient) -> None:
    run = client.get_run(evaluated_cell(Cell("plain8", 0), 2.5))
    (data,) = data_of(run)
    assert (data.dataset.name, data.dataset.digest, data.dataset.profile) == ("digits", "dddddddd", '{"train": 1197}')
    assert [each.info.run_id for each in runs(client, "dataset.digest = 'dddddddd'")] == [run.info.run_id]

    model = model_of(client, run)
    assert (model.name, model.params["optimizer.lr"]) == ("plain8-0", "0.1")
    measured = {metric.key: (metric.value, metric.dataset_digest) for metric in model.metrics or []}
    assert measured["final/test_error"] == (2.5, "dddddddd")

    began = int(datetime.fromisoformat("2026-11-25T08:00:00+00:00").timestamp() * 1000)
    assert (run.info.start_time, run.info.end_time) == (began, began + 20_000)
    times = [run.data.tags[name] for name in ("started", "trained", "evaluated")]
    assert times == [f"2026-11-25T{time}+00:00" for time in ("08:00:00", "08:00:20", "09:00:05")]
    assert run.data.tags["mlflow.note.content"].startswith("**Test error 2.50%** of 360 images")
    # MLflow draws a curve for a metric with a step of 1 or more.
    finals = [client.get_metric_history(run.info.run_id, key) for key in ("final/test_error", "train/seconds")]
    assert [[point.step for point in history] for history in finals] == [[0], [0]]


def test_a_network_has_a_run_with_the_statistics_of_its_seeds(client: MlflowClient) -> None:
    errors = [2.0, 3.0, 5.0]
    seeds = [evaluated_cell(Cell("plain8", seed), error) for seed, error in enumerate(errors[:2])]
    catch_up(describe)
    (first,) = runs(client, "tags.type = 'network'")
    assert first.data.metrics["final/test_error"] == 2.5
    catch_up(describe)
    assert [run.info.run_id for run in runs(client, "tags.type = 'network'")] == [first.info.run_id]

    seeds.append(evaluated_cell(Cell("plain8", 2), errors[2]))
    catch_up(describe)
    (group,) = runs(client, "tags.type = 'network'")
    sample = Sample(tuple(errors))
    assert sample.percent_interval is not None
    suffixes = ("", "/sd", "/lowest", "/highest", "/ci_low", "/ci_high")
    stored = [group.data.metrics[f"final/test_error{suffix}"] for suffix in suffixes]
    assert stored == [sample.mean, sample.standard_deviation, 2.0, 5.0, *sample.percent_interval]
    curve = client.get_metric_history(group.info.run_id, "val/error")
    assert [(point.step, point.value) for point in curve] == [(step, 80.0) for step in range(10, 60, 10)]
    children = runs(client, f"tags.`mlflow.parentRunId` = '{group.info.run_id}'")
    assert {run.info.run_id for run in children} == set(seeds)
    assert (group.info.run_name, group.data.tags["seeds"]) == ("plain8", "0, 1, 2")
    assert len(data_of(group)) == 1
    artifacts = client.list_logged_model_artifacts(model_of(client, client.get_run(seeds[0])).model_id)
    assert [file.path for file in artifacts] == ["weights.safetensors"]


def test_a_cell_that_is_trained_again_supersedes_its_earlier_run(client: MlflowClient) -> None:
    earlier = evaluated_cell(Cell("plain8", 0), 2.0)
    other = evaluated_cell(Cell("plain8", 1), 4.0)
    newer = evaluated_cell(Cell("plain8", 0), 3.0, fingerprint="a" * 64)
    catch_up(describe)
    states = {run.info.run_id: run.data.tags["state"] for run in runs(client, "tags.type = 'cell'")}
    assert states == {earlier: "superseded", newer: "current", other: "current"}
    (group,) = runs(client, "tags.type = 'network'")
    assert group.data.metrics["final/test_error"] == 3.5


def test_tidy_deletes_what_no_result_and_no_registered_model_needs(client: MlflowClient) -> None:
    superseded = evaluated_cell(Cell("plain8", 0), 2.0)
    registered = evaluated_cell(Cell("plain8", 0), 2.5, fingerprint="b" * 64)
    client.create_registered_model("digits")
    client.create_model_version("digits", f"runs:/{registered}/model", registered)
    current = evaluated_cell(Cell("plain8", 0), 3.0, fingerprint="a" * 64)
    failed = start_run("plain8-1", "digits", None, monitors=False)
    failed.set_tags({"type": "cell", "cell": "plain8-1", "state": "current"})
    failed.finish("FAILED")
    needless = find_needless()
    assert {each.run.info.run_id: each.reason for each in needless} == {
        superseded: "superseded",
        failed.run_id: "failed",
    }
    artifacts = Path("mlruns/artifacts") / superseded / "artifacts"
    assert artifacts.exists()
    delete(needless)
    assert {run.info.run_id for run in runs(client, view=ViewType.ALL)} == {registered, current}
    assert not artifacts.exists()
    assert len(client.search_logged_models([client.get_run(current).info.experiment_id])) == 2
    assert find_needless() == []


def test_trials_of_a_search_neither_supersede_a_cell_nor_join_a_group(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = evaluated_cell(Cell("plain8", 0), 2.0)
    search = start_run("search plain8", "digits", None, monitors=False)
    search.set_tags({"mlflow.source.name": "resgrid search", "preset": "digits"})
    search.finish()
    monkeypatch.setenv("RESGRID_PARENT_RUN", search.run_id or "")
    trial = evaluated_cell(Cell("plain8", 0), 1.0, fingerprint="a" * 64)
    tags = client.get_run(trial).data.tags
    assert (tags["type"], tags["search"], tags["preset"]) == ("trial", search.run_id, "digits")
    catch_up(describe)
    assert client.get_run(cell).data.tags["state"] == "current"
    (group,) = runs(client, "tags.type = 'network'")
    assert group.data.metrics["final/test_error"] == 2.0
