"""What MLflow holds of a finished cell: all of it comes from the cell's files and its run record."""

from __future__ import annotations

import csv
import math

from resgrid.artifacts.analyses import ANALYSIS_COLUMNS
from resgrid.artifacts.cell_files import CellPaths, TestMetrics, TrainMetrics
from resgrid.artifacts.data_card import DatasetCard, PreparedPaths
from resgrid.artifacts.run_record import RunRecord, StageRecord
from resgrid.tracking import Run
from resgrid.tracking.records import CellRun, dataset_of, end_of, read_record
from resgrid.tracking.tags import NOTE, cell_tags

# MLflow draws a metric with steps as a curve, and one at step 0 alone as a bar for each run.
FINAL_STEP = 0


def track_evaluation(paths: CellPaths, experiment: str, evaluation: StageRecord) -> None:
    """Record an evaluation, and send the cell's results to the run of its training.

    A new run begins if this machine has no record of the training's run.

    Args:
        paths: the files of the cell, all written.
        experiment: under which MLflow lists the run: the data set's label.
        evaluation: the record of the evaluation.

    Raises:
        OSError: the data card can't be read, or the run record can't be written.
        ValueError: the run record is damaged.
    """
    fingerprint = TrainMetrics.read(paths.metrics).fingerprint
    record = read_record(paths.cell, fingerprint) or RunRecord(
        cell=paths.cell.name,
        fingerprint=fingerprint,
        run_id=None,
        tracking_uri=None,
        experiment=experiment,
        tags=cell_tags(paths.cell, DatasetCard.read(PreparedPaths().card), fingerprint),
    )
    run = CellRun(record.model_copy(update={"evaluate": evaluation}))
    send_results(run.run, paths, run.record)
    run.finish()


def send_results(run: Run, paths: CellPaths, record: RunRecord) -> None:
    """Send the results in a cell's files, those of `train` and, if it is evaluated, those of `evaluate`.

    Figures are sent by `catch_up`: drawing them takes longer than evaluating a small cell.
    """
    trained = TrainMetrics.read(paths.metrics)
    for row in csv.DictReader(paths.curve.read_text(encoding="utf-8").splitlines()):
        run.log_metrics(int(row.pop("step")), {name: float(value) for name, value in row.items()})
    if record.train:
        run.log_metrics(FINAL_STEP, training_speed(record.train))
    if paths.evaluation.is_file():
        tested = TestMetrics.read(paths.evaluation)
        finals = _final_metrics(trained, tested)
        finite = {name: value for name, value in finals.items() if math.isfinite(value)}
        run.log_model(paths.cell.name, dataset_of(record), finite)  # MLflow's models can't have NaN
        run.log_metrics(FINAL_STEP, {name: value for name, value in finals.items() if name not in finite})
        run.set_tags({NOTE: cell_note(trained, tested)})
    run.set_tags(stage_times(record))
    tables = [paths.analysis(name) for name in ANALYSIS_COLUMNS]
    for path in filter(lambda path: path.is_file(), (paths.metrics, paths.evaluation, paths.curve, *tables)):
        run.log_file(path)


def cell_note(trained: TrainMetrics, tested: TestMetrics) -> str:
    """Describe a cell's results in Markdown."""
    return (
        f"**Test error {tested.test_error:.2f}%** of {tested.images:,} images, validation error "
        f"{trained.val_error:.2f}%, training error {trained.train_error:.2f}%, after {trained.steps:,} steps.\n\n"
        f"The lowest validation error was {trained.selected_val_error:.2f}%, at step {trained.selected_step:,}; "
        f"the weights of this step have a test error of {tested.selected_test_error:.2f}%."
    )


def stage_times(record: RunRecord) -> dict[str, str]:
    """Return tags with the start of training and the ends of training and evaluation, in UTC."""
    tags = {}
    if record.train:
        tags["started"], tags["trained"] = record.train.started, end_of(record.train).isoformat(timespec="seconds")
    if record.evaluate:
        tags["evaluated"] = end_of(record.evaluate).isoformat(timespec="seconds")
    return tags


def training_speed(record: StageRecord) -> dict[str, float]:
    """Return the metrics of a training's speed."""
    return {"train/images_per_second": record.images_per_second or 0.0, "train/seconds": record.seconds}


def _final_metrics(trained: TrainMetrics, tested: TestMetrics) -> dict[str, float]:
    top5 = {} if tested.test_top5_error is None else {"final/test_top5_error": tested.test_top5_error}
    return {
        "final/train_error": trained.train_error,
        "final/val_error": trained.val_error,
        "final/test_error": tested.test_error,
        "final/test_loss": tested.test_loss,
        **top5,
        "selected/val_error": trained.selected_val_error,
        "selected/test_error": tested.selected_test_error,
    }
