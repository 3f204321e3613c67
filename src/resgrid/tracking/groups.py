"""Group runs: for each network, one run with the mean of its seeds' metrics, and their spread.

A metric of a group run is the mean over the seeds. Suffixes, as in `final/test_error/sd`, name its spread.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import cycle

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from resgrid.artifacts.files import sha256_of_text
from resgrid.cells import parse_cell
from resgrid.tracking.mlflow_run import METRICS_AT_ONCE
from resgrid.tracking.runs import find_runs, is_cell, network_of, set_tags
from resgrid.tracking.tags import COLOR, CURRENT, NETWORK, NOTE, PARENT, STATE, TYPE

# The metrics with steps; all others are of the finished cell.
CURVES = ("train/loss", "train/error", "val/loss", "val/error")
_FINALS = ("final/", "selected/", "train/seconds", "train/images_per_second")

_TAGS = ("network", "family", "kind", "depth", "shortcut", "data", "data_hash", "preset")

# Colors of networks in MLflow's charts, which has chance colors by default: Okabe and Ito's, then darker ones.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#00466b", "#8a3d00", "#005c44", "#7d3c63")

# Identify a group run and the seeds from which it was computed.
_GROUP, _MEMBERS = "group", "members"

# From a metric's name and its values over the seeds to statistics by suffix; the mean has the suffix "".
Describe = Callable[[str, Sequence[float]], Mapping[str, float]]


def write_groups(client: MlflowClient, experiment_id: str, cells: Iterable[Run], describe: Describe) -> None:
    """Write the group runs of an experiment again where a seed joined or left, and make cells their children.

    Args:
        cells: the finished current runs of cells.
        describe: the report's statistics.
    """
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in cells:
        if _converged(run):
            groups[_identity(run)].append(run)
    old = find_runs(client, experiment_id, f"tags.{TYPE} = '{NETWORK}'")
    up_to_date = {run.data.tags[_GROUP]: run for run in old if run.data.tags[_MEMBERS] == _members(groups, run)}
    for name, runs in groups.items():
        seeds = sorted(runs, key=_seed)
        group = up_to_date[name].info.run_id if name in up_to_date else _write(client, name, seeds, describe)
        for run in seeds:
            set_tags(client, run, {PARENT: group})
    _color(client, find_runs(client, experiment_id, f"tags.{STATE} = '{CURRENT}'"))
    for run in old:
        if run is not up_to_date.get(run.data.tags[_GROUP]):
            client.delete_run(run.info.run_id)  # MLflow can't delete the points of a curve


def _color(client: MlflowClient, runs: Iterable[Run]) -> None:
    """Give the runs of each network one color."""
    colored = [run for run in runs if is_cell(run) or run.data.tags.get(TYPE) == NETWORK]
    networks = sorted({network_of(run) for run in colored})
    colors = dict(zip(networks, cycle(_COLORS), strict=False))
    for run in colored:
        set_tags(client, run, {COLOR: colors[network_of(run)]})


def _converged(run: Run) -> bool:
    """Tell whether a cell is evaluated and its results are finite: the report leaves out cells that diverged."""
    finals = [value for key, value in run.data.metrics.items() if key.startswith("final/")]
    return "final/test_error" in run.data.metrics and all(map(math.isfinite, finals))


def _seed(run: Run) -> int:
    return parse_cell(run.data.tags["cell"]).seed


def _identity(run: Run) -> str:
    """Return the hash of everything but the seed: network, data and recipe."""
    recipe = {name: value for name, value in run.data.params.items() if name != "seed"}
    return sha256_of_text(json.dumps([network_of(run), run.data.tags.get("data_hash"), recipe], sort_keys=True))[:16]


def _members(groups: Mapping[str, list[Run]], group: Run) -> str:
    return _hash_of(groups.get(group.data.tags[_GROUP], []))


def _hash_of(runs: Iterable[Run]) -> str:
    return sha256_of_text(",".join(sorted(run.info.run_id for run in runs)))[:16]


def _write(client: MlflowClient, name: str, seeds: list[Run], describe: Describe) -> str:
    first = seeds[0]
    tags = {tag: first.data.tags[tag] for tag in _TAGS if tag in first.data.tags}
    tags |= {TYPE: NETWORK, STATE: CURRENT, _GROUP: name, _MEMBERS: _hash_of(seeds)}
    tags |= {"seeds": ", ".join(str(_seed(run)) for run in seeds), NOTE: _note(seeds, describe)}
    started = min(run.info.start_time for run in seeds)
    created = client.create_run(first.info.experiment_id, started, tags, run_name=network_of(first))
    run_id = str(created.info.run_id)
    params = [Param(key, value) for key, value in first.data.params.items() if key != "seed"]
    client.log_batch(run_id, params=params, tags=[RunTag("mlflow.source.name", "resgrid track")])
    if first.inputs is not None and first.inputs.dataset_inputs:
        client.log_inputs(run_id, first.inputs.dataset_inputs)
    points = [*_finals(seeds, describe), *_curves(client, seeds, describe)]
    for start in range(0, len(points), METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=points[start : start + METRICS_AT_ONCE])
    client.set_terminated(run_id, end_time=max(run.info.end_time or started for run in seeds))
    return run_id


def _finals(seeds: list[Run], describe: Describe) -> list[Metric]:
    keys = [key for key in seeds[0].data.metrics if key.startswith(_FINALS)]
    points = []
    for key in keys:
        values = [run.data.metrics[key] for run in seeds if key in run.data.metrics]
        if len(values) == len(seeds):
            points += _points(key, 0, seeds[0].info.start_time, values, describe)
    return points


def _curves(client: MlflowClient, seeds: list[Run], describe: Describe) -> list[Metric]:
    """Describe the curves at the steps that all seeds have."""
    points = []
    for key in CURVES:
        histories = [client.get_metric_history(run.info.run_id, key) for run in seeds]
        curves = [{point.step: point.value for point in history} for history in histories]
        times = {point.step: point.timestamp for point in histories[0]}
        for step in sorted(set[int].intersection(*map(set, curves))):
            points += _points(key, step, times[step], [curve[step] for curve in curves], describe)
    return points


def _points(key: str, step: int, time: int, values: Sequence[float], describe: Describe) -> list[Metric]:
    statistics = describe(key, values) if all(map(math.isfinite, values)) else {}
    return [Metric(key + suffix, value, time, step) for suffix, value in statistics.items()]


def _note(seeds: list[Run], describe: Describe) -> str:
    rows = ["| error (%) | mean | standard deviation | lowest | highest |", "|---|---|---|---|---|"]
    for split in ("test", "val", "train"):
        key = f"final/{split}_error"
        values = describe(key, [run.data.metrics[key] for run in seeds])
        cells = [f"{values[suffix]:.2f}" if suffix in values else "" for suffix in ("", "/sd", "/lowest", "/highest")]
        rows.append(f"| {split} | {' | '.join(cells)} |")
    return f"The {len(seeds)} seeds of {network_of(seeds[0])} are the children of this run.\n\n" + "\n".join(rows)
