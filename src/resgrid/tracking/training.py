"""The MLflow run of a training: its parameters, its tags, and which run a resumed training continues."""

from __future__ import annotations

from resgrid.artifacts.data_card import SPLITS, DatasetCard
from resgrid.artifacts.run_record import RunRecord
from resgrid.cells import Cell
from resgrid.config.train import TrainParams
from resgrid.hardware import Precision
from resgrid.tracking.records import CellRun, read_record
from resgrid.tracking.tags import SOURCE, cell_tags


def open_training_run(
    cell: Cell, config: TrainParams, card: DatasetCard, fingerprint: str, precision: Precision, resumes: bool
) -> CellRun:
    """Open the run of a training, with its parameters and tags.

    Args:
        resumes: whether the training continues from a checkpoint; then it continues its run as well.

    Raises:
        OSError: the run record can't be written.
        ValueError: the run record is damaged.
    """
    previous = read_record(cell, fingerprint) if resumes else None
    params = {"network": cell.network, "seed": cell.seed} | _flat_parameters(config, card)
    return CellRun(
        RunRecord(
            cell=cell.name,
            fingerprint=fingerprint,
            run_id=previous.run_id if previous else None,
            tracking_uri=None,
            experiment=card.label,
            params={name: str(value) for name, value in params.items()},
            tags=cell_tags(cell, card, fingerprint) | {"precision": precision, SOURCE: "pipeline.train"},
        )
    )


def _flat_parameters(config: TrainParams, card: DatasetCard) -> dict[str, object]:
    """Return the parameters of the data and the training with dotted names, as MLflow lists parameters."""
    flat: dict[str, object] = {"data.name": card.name}
    flat |= {f"data.{split}_images": card.counts[split] for split in SPLITS}

    def add(prefix: str, value: object) -> None:
        if isinstance(value, dict) and value:
            for name, part in value.items():
                add(f"{prefix}.{name}", part)
        else:
            flat[prefix] = value

    for section, values in config.model_dump(mode="json", include=set(TrainParams.model_fields)).items():
        add(section, values)
    return flat
