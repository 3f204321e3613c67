"""The ready views in a real browser, on MLflow's own pages."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Experiment

from resgrid.cells import Cell
from resgrid.commands.track import describe
from resgrid.tracking import start_run
from resgrid.tracking.catch_up import catch_up
from resgrid.tracking.store import tracking_uri
from resgrid.tracking.views import links
from support.browser import CHROMIUM, Browser, start_browser
from support.tracking_server import TrackingServer
from tracking.conftest import evaluated_cell

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome is installed here")

CHARTS = "document.querySelectorAll('.js-plotly-plot .main-svg').length"

# What each view shows: texts, and an expression that is true once its charts are drawn.
SHOWN = {
    "Errors by network and seed": (["digits (dddddddd)", "final/test_error/sd", "plain8", "resnet8-A"], "true"),
    "Mean curves by network": (["val/error", "plain8", "resnet8-A"], f"{CHARTS} > 0"),
    "Sweep": (["train/images_per_second", "plain8-1", "2026-11-25T"], "true"),
    "Search": (["trial-0", "trial-1"], f"{CHARTS} > 0"),
    "Figures of cells": (["figures/curve"], "[...document.images].some((image) => image.naturalWidth > 100)"),
    "Differences": (["Parameters", "seed"], "true"),
}


def add_search() -> None:
    """Add a search with two trials to the store."""
    search = start_run("search plain8", "digits", None, monitors=False)
    search.log_params({"search.space.optimizer.lr": "[0.1, 0.2]"})
    search.set_tags({"mlflow.source.name": "resgrid search"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESGRID_PARENT_RUN", search.run_id or "")
        for number in range(2):
            trial = start_run(f"trial-{number}", "digits", None, monitors=False)
            trial.log_params({"optimizer.lr": 0.1 * (number + 1)})
            trial.set_tags({"cell": "plain8-0", "type": "cell"})
            trial.log_metrics(10, {"val/error": 20.0 + number})
            trial.finish()
    search.finish()


@pytest.fixture(scope="module")
def experiment(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    folder = tmp_path_factory.mktemp("views") / "repository"
    shutil.copytree(empty_store, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("RESGRID_STATE", raising=False)
        for network, error in (("plain8", 4.0), ("resnet8-A", 2.0)):
            for seed in (0, 1):
                evaluated_cell(Cell(network, seed), error + seed)
        add_search()
        catch_up(describe)
        found = MlflowClient(tracking_uri()).get_experiment_by_name("digits")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def server(experiment: Experiment) -> Iterator[TrackingServer]:
    server = TrackingServer(Path(experiment.artifact_location.removeprefix("file://")).parent)
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with start_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def wait_for(browser: Browser, expression: str) -> None:
    deadline = time.monotonic() + 90
    while not browser.evaluate(expression):
        assert time.monotonic() < deadline, (expression, browser.evaluate("document.body.innerText"))
        time.sleep(0.2)


def test_the_note_has_a_link_to_each_view(experiment: Experiment) -> None:
    note = experiment.tags["mlflow.note.content"]
    assert [title for title, _ in links(experiment, "")] == list(SHOWN)
    assert all(f"[{title}]({link.removeprefix('/')})" in note for title, link in links(experiment, ""))


@pytest.mark.parametrize(
    "title",
    [title if title.startswith("Errors") else pytest.param(title, marks=pytest.mark.slow) for title in SHOWN],
)
def test_a_view_opens_with_its_columns_and_charts(
    title: str, experiment: Experiment, server: TrackingServer, browser: Browser
) -> None:
    browser.open(dict(links(experiment, server.url))[title], width=1600)
    texts, drawn = SHOWN[title]
    for text in texts:
        wait_for(browser, f"document.body.innerText.includes({text!r})")
    wait_for(browser, drawn)
    assert browser.evaluate("document.body.innerText.includes('viewing a shared view')")
