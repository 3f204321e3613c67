"""Ready views of an experiment: links that open MLflow's page of runs with a filter, columns and charts.

MLflow keeps a shared view as JSON in the experiment's tag `mlflow.sharedViewState.<key>`, and opens it for
`?viewStateShareKey=<key>`. The format is not documented: MLflow 3.17's page writes it for its button "Share".
`tests/tracking/test_views.py` opens each view in a browser. A version that doesn't read the tags shows the page of
runs without a view.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Experiment, Run

from resgrid.tracking.runs import find_runs
from resgrid.tracking.tags import CELL, CURRENT, NETWORK, NOTE, SEARCH, SOURCE, STATE, SUPERSEDED, TRIAL, TYPE

_TAG = "mlflow.sharedViewState."

# MLflow adds a chart for each other metric, in the section of its first part: these sections are closed.
_OTHER_SECTIONS = ("final", "lr", "selected", "train", "val", "sweep", "search", "figures", "Model metrics")

_SPREAD = ("sd", "lowest", "highest", "ci_low", "ci_high")

Chart = dict[str, Any]


@dataclass(frozen=True)
class View:
    """A ready view.

    Attributes:
        key: its name in links.
        title: what it shows.
        filter: MLflow's filter of runs.
        columns: of the table, such as `metrics.final/test_error`.
        charts: MLflow's configurations of charts, without identifiers.
        order: the column by which runs are sorted, ascending; None for the newest run first, with the seeds below
            their network.
        is_table: whether the link opens the table instead of the charts.
        layout: number of charts in a row, and their height in pixels.
    """

    key: str
    title: str
    filter: str
    columns: Sequence[str]
    charts: Sequence[Chart]
    order: str | None = None
    is_table: bool = False
    layout: tuple[int, int] = (3, 360)

    def link(self, experiment_id: str) -> str:
        """Return the link to the view, below the address of MLflow's pages."""
        mode = "" if self.is_table else "&compareRunsMode=CHART"
        return f"#/experiments/{experiment_id}/runs?viewStateShareKey={self.key}&workflowType=machine_learning{mode}"

    def state(self) -> str:
        """Return the view as MLflow's page stores it."""
        section, (columns, height) = f"{self.key}-charts", self.layout
        closed = [{"uuid": f"{self.key}-{name}", "name": name, "display": False} for name in _OTHER_SECTIONS]
        shown = {"uuid": section, "name": self.title, "display": True, "columns": columns, "cardHeight": height}
        charts = [
            {"uuid": f"{self.key}-{number}", "metricSectionId": section, "runsCountToCompare": 20} | chart
            for number, chart in enumerate(self.charts)
        ]
        return json.dumps(
            {
                "searchFilter": self.filter,
                "orderByKey": "attributes.start_time" if self.order is None else _column(self.order),
                "orderByAsc": self.order is not None,
                "selectedColumns": [_column(column) for column in self.columns],
                "columnOrder": [_column(column) for column in self.columns],
                "runsHiddenMode": "FIRST_20_RUNS",
                "hideEmptyCharts": True,
                "isAccordionReordered": True,
                "compareRunCharts": [{"deleted": False, "isGenerated": False} | chart for chart in charts],
                "compareRunSections": [
                    {"isReordered": True, "deleted": False, "isGenerated": False} | section
                    for section in (shown, *closed)
                ],
            }
        )


def write_views(client: MlflowClient, experiment: Experiment) -> None:
    """Write the ready views of an experiment, and its note with links to them."""
    searches = find_runs(client, experiment.experiment_id, f"tags.`{SOURCE}` = '{SEARCH}'")
    views = make_views(searches)
    tags = {_TAG + view.key: view.state() for view in views} | {NOTE: _note(experiment.experiment_id, views)}
    for name, value in tags.items():
        if experiment.tags.get(name) != value:
            client.set_experiment_tag(experiment.experiment_id, name, value)


def make_views(searches: Iterable[Run]) -> list[View]:
    """Describe the ready views.

    Args:
        searches: the runs of searches, the newest first.
    """
    cells = f"tags.{TYPE} = '{CELL}' and tags.{STATE} = '{CURRENT}'"
    errors = [f"metrics.final/{split}_error" for split in ("test", "val", "train")]
    spread = [f"metrics.final/test_error/{name}" for name in _SPREAD]
    return [
        View(
            "errors",
            "Errors by network and seed",
            f"tags.{STATE} = '{CURRENT}' and tags.{TYPE} != '{TRIAL}'",
            ["attributes.Dataset", errors[0], *spread, *errors[1:], "tags.seeds"],
            [_bar("final/test_error"), _bar("final/val_error"), _bar("final/train_error")],
            is_table=True,
        ),
        View(
            "curves",
            "Mean curves by network",
            f"tags.{TYPE} = '{NETWORK}' and tags.{STATE} = '{CURRENT}'",
            ["tags.kind", "tags.depth", *errors],
            [_line("val/error"), _line("train/error"), _line("val/error/sd"), _line("train/loss")],
            layout=(2, 360),
        ),
        View(
            "sweep",
            "Sweep",
            f"tags.{TYPE} = '{CELL}' and tags.{STATE} != '{SUPERSEDED}'",
            ["attributes.Duration", "metrics.train/images_per_second"]
            + [f"tags.{name}" for name in ("started", "trained", "evaluated", "hardware", "sweep")],
            [_bar("train/seconds"), _bar("train/images_per_second")],
            order="tags.started",
            is_table=True,
        ),
        View(
            "search",
            "Search",
            f"tags.{TYPE} = '{TRIAL}'",
            ["tags.search.end", "metrics.val/error", *(f"params.{name}" for name in _searched(searches))],
            [_parallel(_searched(searches), "val/error"), _line("val/error")],
            order="metrics.val/error",
        ),
        View(
            "figures",
            "Figures of cells",
            cells,
            [errors[0]],
            [_images(name) for name in ("curve", "confusion", "responses", "activation_maps", "gradients", "blocks")],
            order="metrics.final/test_error",
            layout=(2, 420),
        ),
        View(
            "differences",
            "Differences",
            cells,
            [errors[0], "tags.commit", "tags.hardware", "tags.data_hash"],
            [_differences()],
            order="metrics.final/test_error",
            layout=(1, 640),
        ),
    ]


def links(experiment: Experiment, url: str) -> list[tuple[str, str]]:
    """Return the title and the link of each of the experiment's views.

    Args:
        url: of MLflow's pages.
    """
    written = [view for view in make_views([]) if _TAG + view.key in experiment.tags]
    return [(view.title, f"{url}/{view.link(experiment.experiment_id)}") for view in written]


def _note(experiment_id: str, views: Iterable[View]) -> str:
    return "Views: " + " · ".join(f"[{view.title}]({view.link(experiment_id)})" for view in views)


def _searched(searches: Iterable[Run]) -> list[str]:
    """Return the parameters that the newest search tries."""
    prefix = "search.space."
    for run in searches:
        return [name.removeprefix(prefix) for name in sorted(run.data.params) if name.startswith(prefix)]
    return ["optimizer.lr"]


def _column(name: str) -> str:
    """Return a column as MLflow's page names it, such as "metrics.`final/test_error`"."""
    kind, _, key = name.partition(".")
    return f"{kind}.`{key}`"


def _bar(metric: str) -> Chart:
    return {"type": "BAR", "metricKey": metric, "displayName": metric}


def _line(metric: str) -> Chart:
    return {"type": "LINE", "metricKey": metric, "selectedMetricKeys": [metric], "displayName": metric} | {
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "lineSmoothness": 0,
        "useGlobalLineSmoothing": True,
        "useGlobalXaxisKey": True,
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "range": {"xMin": None, "xMax": None, "yMin": None, "yMax": None},
    }


def _parallel(parameters: Sequence[str], metric: str) -> Chart:
    names = {"selectedParams": list(parameters), "selectedMetrics": [metric]}
    return {"type": "PARALLEL", "displayName": "hyperparameters and validation error", "showAllRuns": True} | names


def _images(name: str) -> Chart:
    return {"type": "IMAGE", "imageKeys": [f"figures/{name}"], "displayName": name, "step": 0, "showRunParams": False}


def _differences() -> Chart:
    return {
        "type": "DIFFERENCE",
        "compareGroups": ["Parameters", "Tags"],
        "chartName": "Runs difference view",
        "showChangeFromBaseline": False,
        "showDifferencesOnly": True,
        "baselineColumnUuid": "",
        "displayName": "Differences",
    }
