"""The MLflow run of a training: its parameters, its tags, and which run a resumed training continues."""

from __future__ import annotations

from resgrid.artifacts.data_card import DatasetCard
from resgrid.artifacts.run_record import StageRecord
from resgrid.cells import Cell
from resgrid.config.train import TrainParams
from resgrid.hardware import Precision
from resgrid.names import parse_network
from resgrid.tracking import Run, start_run
from resgrid.tracking.lineage import current_commit, describe_hardware
from resgrid.tracking.records import read_record, write_record


def open_training_run(cell: Cell, fingerprint: str, experiment: str, resumes: bool) -> Run:
    """Open the run of a training, and write its id into the cell's run record.

    Args:
        experiment: name under which MLflow lists the run: the data set's label.
        resumes: whether the training continues from a checkpoint; then it continues its run as well.

    Raises:
        OSError: the record can't be written.
        ValueError: the tracking server does not answer, or the record is damaged.
    """
    previous = read_record(cell, fingerprint) if resumes else None
    run = start_run(cell.name, experiment, previous.run_id if previous else None)
    write_record(cell, fingerprint, run)
    return run


def describe_training(
    run: Run, cell: Cell, config: TrainParams, card: DatasetCard, fingerprint: str, precision: Precision
) -> None:
    """Log the parameters and tags of a training."""
    run.log_params({"network": cell.network, "seed": cell.seed} | _flat_parameters(config, card))
    network = parse_network(cell.network)
    run.set_tags(
        {
            "cell": cell.name,
            "kind": network.kind,
            "depth": "unknown" if network.depth is None else str(network.depth),
            "shortcut": network.shortcut,
            "data": card.label,
            "data_hash": card.data_hash,
            "fingerprint": fingerprint,
            "hardware": describe_hardware(),
            "precision": precision,
            "mlflow.source.name": "pipeline.train",
            "mlflow.source.git.commit": current_commit() or "unknown",
        }
    )


def record_training(run: Run, cell: Cell, fingerprint: str, steps: int, record: StageRecord) -> None:
    """Write the cell's run record, and log the training's speed at its last step.

    Raises:
        OSError: the record can't be written.
    """
    write_record(cell, fingerprint, run, train=record)
    speed = {"train/images_per_second": record.images_per_second or 0.0, "train/seconds": record.seconds}
    run.log_metrics(steps, speed)


def _flat_parameters(config: TrainParams, card: DatasetCard) -> dict[str, object]:
    """Return the parameters of the data and the training with dotted names, as MLflow lists parameters."""
    flat: dict[str, object] = {"data.name": card.name}
    flat |= {f"data.{split}_images": card.counts[split] for split in ("train", "val")}

    def add(prefix: str, value: object) -> None:
        if isinstance(value, dict) and value:
            for name, part in value.items():
                add(f"{prefix}.{name}", part)
        else:
            flat[prefix] = value

    for section, values in config.model_dump(mode="json", include=set(TrainParams.model_fields)).items():
        add(section, values)
    return flat
