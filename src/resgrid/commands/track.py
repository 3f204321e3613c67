"""Command `track`: send to MLflow what it lacks."""

from __future__ import annotations


def track() -> None:
    """Send to MLflow what it lacks of finished cells.

    Figures are drawn now, because drawing takes longer than evaluating a small cell. Runs lack points or files if the
    tracking server or database failed. Runs of killed processes are ended.

    \b
    Examples:
      resgrid track
      MLFLOW_TRACKING_URI=http://127.0.0.1:5000 resgrid track
    """
    from resgrid.tracking.catch_up import catch_up

    catch_up()
