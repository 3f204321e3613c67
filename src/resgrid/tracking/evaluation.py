"""What MLflow holds of an evaluated cell: final errors, the cell's tables and figures."""

from __future__ import annotations

from resgrid.artifacts.analyses import ANALYSIS_COLUMNS
from resgrid.artifacts.cell_files import CellPaths, TestMetrics, TrainMetrics
from resgrid.artifacts.run_record import StageRecord
from resgrid.tracking import start_run
from resgrid.tracking.figures import FIGURES, draw_columns
from resgrid.tracking.records import read_record, write_record


def track_evaluation(paths: CellPaths, experiment: str, metrics: TestMetrics, stage_record: StageRecord) -> None:
    """Record an evaluation, and send the cell's results to the run of its training.

    A new run begins if this machine has no record of the training's run.

    Args:
        paths: the files of the cell, all written.
        experiment: under which MLflow lists the run: the data set's label.
        metrics: the test results.
        stage_record: of the evaluation.
    """
    cell, trained = paths.cell, TrainMetrics.read(paths.metrics)
    record = read_record(cell, trained.fingerprint)
    run = start_run(cell.name, experiment, record.run_id if record else None)
    write_record(cell, trained.fingerprint, run, record.train if record else None, stage_record)
    run.log_metrics(trained.steps, _final_metrics(trained, metrics))
    tables = [paths.analysis(name) for name in ANALYSIS_COLUMNS]
    for path in (paths.metrics, paths.evaluation, paths.curve, *tables):
        run.log_file(path)
    for path in (paths.curve, paths.confusion, *tables):
        picture = FIGURES.get(path.name, draw_columns)(path)
        if picture is not None:
            run.log_figure(f"{path.stem}.png", picture)
    run.log_figure(paths.activation_maps.name, paths.activation_maps.read_bytes())
    run.set_tags({"mlflow.note.content": f"test error {metrics.test_error:.2f} %"})
    run.finish()


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
