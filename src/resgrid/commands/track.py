"""Command `track`: send to MLflow what it lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def track() -> None:
    """Send to MLflow what it lacks of finished cells.

    Figures are drawn now, because drawing takes longer than evaluating a small cell. Runs lack points or files if the
    tracking server or database failed. Runs of killed processes are ended, runs of cells that were trained again are
    marked as superseded, and each network's run with the mean over its seeds is written.

    \b
    Examples:
      resgrid track
      MLFLOW_TRACKING_URI=http://127.0.0.1:5000 resgrid track
    """
    from resgrid.tracking.catch_up import catch_up

    catch_up(describe)


def describe(name: str, values: Sequence[float]) -> Mapping[str, float]:
    """Compute the report's statistics of a metric over seeds, by suffix of the metric's name."""
    from resgrid.reporting.statistics import Sample

    sample = Sample(tuple(values))
    interval = sample.percent_interval if name.endswith("error") else sample.interval
    found = {"": sample.mean, "/lowest": min(values), "/highest": max(values), "/sd": sample.standard_deviation}
    found |= {"/ci_low": interval[0], "/ci_high": interval[1]} if interval else {}
    return {suffix: value for suffix, value in found.items() if value is not None}
