"""The configuration: frozen, typed models of `params.yaml`, checked as a whole when it is loaded.

Every mistake is reported at once, each with its place, its value and what is allowed. A function deeper in the
library gets the part that it needs (an `OptimizerConfig`, say), never the whole.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from resgrid.cells import Cell, grid, parse_network

PARAMS_FILE = Path("params.yaml")

DatasetName = Literal["digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "imagefolder"]
NetworkName = str
Percent = Annotated[float, Field(gt=0, le=100)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ConfigError(ValueError):
    """`params.yaml` can't be used; the message lists every mistake."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class DataConfig(_Section):
    """Which images, and where they come from.

    Attributes:
        name: one of the known data sets, or `imagefolder` for `train/<class>/*`, `test|val/<class>/*`.
        label: what the report calls the data; by default the data set's usual name.
        source: a mirror's address, a local folder or (imagefolder) an archive; by default the published addresses.
        sha256: checksums by file name: needed for an `imagefolder` archive that is downloaded; elsewhere they
            override the published ones.
        storage: `arrays` decodes every image once, to one size, for memory; `files` keeps an `imagefolder`'s files and
            decodes them while training, which is for data too large for `arrays`.
        image_size: height and width in pixels to which `imagefolder` images are resized, or of their crops with
            `files`; others keep their own.
        shorter_side: `files` only: length in pixels to which an image's shorter side is scaled before a central crop.
        corrupt: what `preprocess` does about image files that can't be read: an `error` that lists them, or (`files`
            only) `skip` them, counted and named in `card.json`.
    """

    name: DatasetName
    label: str | None = None
    source: str | None = None
    sha256: dict[str, Sha256] = {}
    storage: Literal["arrays", "files"] = "arrays"
    image_size: Annotated[int, Field(ge=8, le=1024)] | None = None
    shorter_side: Annotated[int, Field(ge=8, le=2048)] | None = None
    corrupt: Literal["error", "skip"] = "error"

    @model_validator(mode="after")
    def _imagefolder_needs_a_place(self) -> Self:
        if self.name == "imagefolder" and self.source is None:
            raise ValueError("source: None: the data set 'imagefolder' needs a folder, an archive or an address here")
        if self.name != "imagefolder" and self.image_size is not None:
            raise ValueError(
                f"image_size: {self.image_size}: only 'imagefolder' resizes; {self.name!r} keeps its own size"
            )
        return self

    @model_validator(mode="after")
    def _files_have_sizes(self) -> Self:
        if self.storage == "arrays":
            if self.shorter_side is not None:
                raise ValueError(f"shorter_side: {self.shorter_side}: only storage 'files' scales so; allowed is null")
            if self.corrupt != "error":
                raise ValueError(f"corrupt: {self.corrupt!r}: only storage 'files' skips; allowed is 'error'")
            return self
        if self.name != "imagefolder":
            raise ValueError(f"storage: 'files': only 'imagefolder' has files; allowed for {self.name!r} is 'arrays'")
        if self.image_size is None:
            raise ValueError("image_size: None: storage 'files' needs the size of its crops, such as 224")
        if self.shorter_side is None or self.shorter_side < self.image_size:
            raise ValueError(
                f"shorter_side: {self.shorter_side}: storage 'files' needs at least image_size, {self.image_size}"
            )
        return self


class SplitConfig(_Section):
    """How the images are divided. Counts are images, stratified by class.

    Attributes:
        val: images taken out of the training images for validation.
        test: images taken out for the test, for data that come without a test split (digits); else None.
        seed: of the division, the same for every cell of the grid.
    """

    val: Annotated[int, Field(ge=1)]
    test: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0


class GridConfig(_Section):
    """The cells of the study: every network with every seed."""

    network: Annotated[list[NetworkName], Field(min_length=1)]
    seed: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]

    @field_validator("network")
    @classmethod
    def _networks_are_known(cls, names: list[str]) -> list[str]:
        mistakes: list[str] = []
        for index, name in enumerate(names):
            try:
                parse_network(name)
            except ValueError as error:
                mistakes.append(f"[{index}]: {error}")
            if name in names[:index]:
                mistakes.append(f"[{index}]: {name!r} stands twice; each network is listed once")
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return names

    @field_validator("seed")
    @classmethod
    def _seeds_are_unique(cls, seeds: list[int]) -> list[int]:
        for index, seed in enumerate(seeds):
            if seed in seeds[:index]:
                raise ValueError(f"[{index}]: {seed} stands twice; each seed is listed once")
        return seeds

    @property
    def cells(self) -> list[Cell]:
        return grid(self.network, self.seed)


class CropConfig(_Section):
    """How crops are taken from images in files: by the scale, as the paper does, or by the area. One of both is given.

    Attributes:
        shorter_side: lowest and highest length in pixels to which the shorter side is scaled, anew for each image,
            before a random crop (paper, section 3.4: [256, 480]).
        area: least and largest share of the image's area, as torchvision's `RandomResizedCrop` takes it.
        aspect: with `area`: smallest and largest width over height.
    """

    shorter_side: Annotated[list[Annotated[int, Field(ge=8, le=2048)]], Field(min_length=2, max_length=2)] | None = None
    area: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=2, max_length=2)] | None = None
    aspect: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2, max_length=2)] = [3 / 4, 4 / 3]

    @model_validator(mode="after")
    def _one_way_with_ordered_bounds(self) -> Self:
        if (self.shorter_side is None) == (self.area is None):
            both = "both are" if self.area else "neither is"
            raise ValueError(f"shorter_side, area: {both} given; allowed is one of them, the other null")
        for name in ("shorter_side", "area", "aspect"):
            bounds = getattr(self, name)
            if bounds is not None and bounds[0] > bounds[1]:
                raise ValueError(f"{name}: {bounds}: the lower bound comes first")
        return self


class AugmentConfig(_Section):
    """What is done to the training images (paper, sections 3.4 and 4.2). Test images are normalised only.

    Attributes:
        normalize: subtract the mean image (`per_pixel_mean`, the paper's), or the mean of each channel and divide
            by its deviation (`channel`). Both come from the training part alone, on pixels scaled to [0, 1].
        pad: zeros put on each side before a random crop of the original size, in pixels.
        flip: mirror each image with probability 1/2. Not for digits, which have a handedness.
        crop: of images in files; None for arrays.
        lighting: deviation of the weights with which the principal components of the training images' colours are
            added to an image in files (Krizhevsky et al. 2012, section 4.1: 0.1); 0 for none.
    """

    normalize: Literal["per_pixel_mean", "channel"]
    pad: Annotated[int, Field(ge=0, le=64)]
    flip: bool
    crop: CropConfig | None = None
    lighting: Annotated[float, Field(ge=0, le=1)] = 0.0


class OptimizerConfig(_Section):
    """Stochastic gradient descent with momentum."""

    lr: Annotated[float, Field(gt=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]


class WarmupConfig(_Section):
    """The low rate at which very deep networks start (paper, section 4.2: depth 110).

    Attributes:
        from_depth: networks of this depth and deeper warm up, others don't.
        lr: the rate until the warm-up ends.
        until_train_error: percent; the warm-up ends when the training error over the last `window` steps is below it.
        window: steps over which the training error is averaged, and between two looks at it.
    """

    from_depth: Annotated[int, Field(ge=8)]
    lr: Annotated[float, Field(gt=0)]
    until_train_error: Percent
    window: Annotated[int, Field(ge=1)]


class PlateauConfig(_Section):
    """When the rate falls without milestones: "when the error plateaus" (paper, section 3.4).

    Attributes:
        patience: validations in a row without a new lowest validation error after which the rate falls; then the count
            begins anew.
        min_change: percentage points by which an error must be below the lowest one before to count as new.
    """

    patience: Annotated[int, Field(ge=1)]
    min_change: Annotated[float, Field(ge=0, lt=100)]


class ScheduleConfig(_Section):
    """The learning rate by step.

    Attributes:
        milestones: steps at which the rate is multiplied by `gamma`.
        plateau: multiply by `gamma` when the validation error no longer falls, in place of milestones; None for no.
        warmup: None for none.
    """

    milestones: list[Annotated[int, Field(ge=1)]]
    gamma: Annotated[float, Field(gt=0, lt=1)]
    plateau: PlateauConfig | None = None
    warmup: WarmupConfig | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        if self.plateau is not None and self.milestones:
            raise ValueError(f"milestones: {self.milestones}: with a plateau rule, allowed is []")
        return self

    @field_validator("milestones")
    @classmethod
    def _milestones_grow(cls, milestones: list[int]) -> list[int]:
        for index in range(1, len(milestones)):
            if milestones[index] <= milestones[index - 1]:
                raise ValueError(
                    f"[{index}]: {milestones[index]} comes after {milestones[index - 1]}; milestones must grow"
                )
        return milestones


class TrainConfig(_Section):
    """The training loop.

    Attributes:
        max_steps: optimiser steps; the unit of the schedule, as in the paper.
        batch_size: images in one step, over all devices together.
        val_every: steps between two validations; each gives a row of `curve.csv`.
        precision: `32`, `bf16`, or `auto` (bf16 where the hardware computes it in silicon, else 32).
        devices: `auto` for every GPU of the machine or else one CPU process; or a number of processes.
        num_nodes: machines of a multi-node run, started by torchrun or Slurm.
        threads: CPU threads of each process. They change the order of sums, so they are part of the experiment.
        sync_batchnorm: batch norm over the global batch instead of each device's part.
        deterministic: use deterministic algorithms only.
        compile: run the network through `torch.compile`.
        workers: processes, for each device, that decode image files; 0 decodes between the steps. They change nothing
            in the result. Images in arrays need none.
        checkpoint_every: steps between two checkpoints for resuming a killed run.
    """

    max_steps: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=2)]
    val_every: Annotated[int, Field(ge=1)]
    precision: Literal["auto", "32", "bf16"]
    devices: Literal["auto"] | Annotated[int, Field(ge=1)]
    num_nodes: Annotated[int, Field(ge=1)] = 1
    threads: Annotated[int, Field(ge=1, le=512)]
    sync_batchnorm: bool = False
    deterministic: bool = True
    compile: bool = False
    workers: Annotated[int, Field(ge=0, le=512)] = 0
    checkpoint_every: Annotated[int, Field(ge=1)]

    @field_validator("precision", mode="before")
    @classmethod
    def _without_quotes(cls, value: object) -> object:
        """`dvc exp run -S train.precision=32` writes a number."""
        return str(value) if value == 32 else value

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.max_steps % self.val_every:
            raise ValueError(
                f"val_every: {self.val_every}: must divide max_steps, {self.max_steps}, "
                "so that the last step is validated"
            )
        if self.devices != "auto" and self.batch_size % (self.devices * self.num_nodes):
            raise ValueError(
                f"batch_size: {self.batch_size}: must divide evenly over "
                f"{self.devices} devices × {self.num_nodes} nodes"
            )
        return self


class EvaluateConfig(_Section):
    """Evaluation, which runs on one device.

    Attributes:
        batch_size: images at once; no effect on what is measured beyond rounding.
        threads: CPU threads, a part of the experiment as in training.
        workers: processes that decode image files, as in training.
        views: what of an image in a file the network sees: `single`, the central crop; `ten_crop`, four corners, the
            centre and their mirror images; `multi_scale`, the whole image and its mirror image at each of `scales`, for
            networks that end in global average pooling. The class probabilities of several views are averaged.
        scales: shorter sides, in pixels, for `multi_scale`.
        response_images: training images, evenly spaced over the split, on which layer responses and the sizes of
            residuals are measured; None or more than there are: all.
        lesion_images: test images, evenly spaced over the split, on which the network is tested once for each block
            with that block dropped; None or more than there are: all.
    """

    batch_size: Annotated[int, Field(ge=1)]
    threads: Annotated[int, Field(ge=1, le=512)]
    workers: Annotated[int, Field(ge=0, le=512)] = 0
    views: Literal["single", "ten_crop", "multi_scale"] = "single"
    scales: list[Annotated[int, Field(ge=8, le=2048)]] = []
    response_images: Annotated[int, Field(ge=1)] | None = None
    lesion_images: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _scales_go_with_views(self) -> Self:
        if (self.views == "multi_scale") != bool(self.scales):
            allowed = "at least one length" if self.views == "multi_scale" else "[]"
            raise ValueError(f"scales: {self.scales}: with views {self.views!r}, allowed is {allowed}")
        return self


class EnsembleConfig(_Section):
    """A named set of cells whose probabilities the report averages.

    Attributes:
        name: what the report calls it; a network's name already stands for all its seeds.
        cells: patterns of cell names, in which `*` is any text and `?` any sign: `resnet*-A-*`.
    """

    name: Annotated[str, Field(min_length=1)]
    cells: Annotated[list[str], Field(min_length=1)]

    def among(self, cells: Iterable[Cell]) -> list[Cell]:
        """Those of the cells that a pattern matches, in their own order."""
        return [cell for cell in cells if any(fnmatchcase(cell.name, pattern) for pattern in self.cells)]


class ReportConfig(_Section):
    """What the report shows beyond the grid itself."""

    ensembles: list[EnsembleConfig]


class ResourcesConfig(_Section):
    """What each cell of a sweep gets.

    Attributes:
        cpus: cores; at least the threads that its processes compute with.
        gpus: a whole number, or a fraction of one GPU (0.25: four cells share it). Ray keeps the books of fractions,
            but doesn't divide the memory.
    """

    cpus: Annotated[int, Field(ge=1)]
    gpus: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _whole_or_a_fraction_of_one(self) -> Self:
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus: {self.gpus}: must be a whole number of GPUs or a fraction of one (0.5, 0.25, …)")
        return self


class SweepConfig(_Section):
    """Where and how `make sweep` runs the cells; no part of the experiment.

    Attributes:
        address: `local` starts Ray on this machine for the sweep; `auto` joins the cluster that this machine is part
            of; `host:port` joins that one.
        max_failures: times that a cell which failed or was killed is tried again, from its last checkpoint.
    """

    address: Annotated[str, Field(pattern=r"^(local|auto|[^\s:/]+:[0-9]+)$")]
    resources: ResourcesConfig
    max_failures: Annotated[int, Field(ge=0)]


class AshaConfig(_Section):
    """When a search gives a trial up: asynchronous successive halving (Li et al., MLSys 2020, algorithm 2).

    At `grace_steps`, and at each `reduction` times as many, a trial goes on only if its validation error is among the
    best 1/`reduction` of those that came so far.
    """

    grace_steps: Annotated[int, Field(ge=1)]
    reduction: Annotated[float, Field(gt=1)]


class SearchConfig(_Section):
    """What `make search` tries: parameters of the training of one network with one seed; no part of the experiment.

    Attributes:
        network: of the grid.
        seed: of the grid, and of the search itself.
        trials: trainings, all together.
        searcher: `random`, or `optuna` for its tree-structured Parzen estimator.
        space: by dotted parameter name one of `{log: [low, high]}`, `{uniform: [low, high]}`, `{int: [low, high]}`
            (both ends included) and `{choice: [value, …]}`.
        asha: None to have every trial train to its end.
    """

    network: NetworkName
    seed: Annotated[int, Field(ge=0)]
    trials: Annotated[int, Field(ge=1)]
    searcher: Literal["random", "optuna"]
    space: Annotated[dict[str, Any], Field(min_length=1)]
    asha: AshaConfig | None

    @model_validator(mode="after")
    def _network_is_known(self) -> Self:
        try:
            parse_network(self.network)
        except ValueError as error:
            raise ValueError(f"network: {error}") from None
        return self

    @field_validator("space")
    @classmethod
    def _distributions_are_whole(cls, space: dict[str, Any]) -> dict[str, Any]:
        mistakes = [f"{name}: {wrong}" for name, value in space.items() if (wrong := _wrong_distribution(value))]
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return space


class TrainParams(_Section):
    """The sections that the stage `train` reads, and no others: the same as its parameters in dvc.yaml."""

    augment: AugmentConfig
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    train: TrainConfig

    @model_validator(mode="after")
    def _schedule_fits_the_training(self) -> Self:
        mistakes: list[str] = []
        for index, milestone in enumerate(self.schedule.milestones):
            if milestone >= self.train.max_steps:
                mistakes.append(
                    f"schedule.milestones[{index}]: {milestone}: must be below train.max_steps, {self.train.max_steps}"
                )
        warmup = self.schedule.warmup
        if warmup is not None and warmup.lr >= self.optimizer.lr:
            mistakes.append(f"schedule.warmup.lr: {warmup.lr}: must be below optimizer.lr, {self.optimizer.lr}")
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self


class EvaluateParams(_Section):
    """The sections that the stage `evaluate` reads, and no others."""

    augment: AugmentConfig
    evaluate: EvaluateConfig


class Config(TrainParams, EvaluateParams):
    """All of `params.yaml`."""

    preset: str
    data: DataConfig
    split: SplitConfig
    grid: GridConfig
    report: ReportConfig
    sweep: SweepConfig
    search: SearchConfig

    @model_validator(mode="after")
    def _other_sections_agree(self) -> Self:
        mistakes: list[str] = []
        if self.data.name == "digits" and self.split.test is None:
            mistakes.append("split.test: None: digits come without a test split; give the number of images to take out")
        if self.data.name != "digits" and self.split.test is not None:
            mistakes.append(
                f"split.test: {self.split.test}: {self.data.name!r} brings its own test split; allowed is null"
            )
        mistakes += self._mistakes_in_ensembles()
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self

    def _mistakes_in_ensembles(self) -> list[str]:
        mistakes: list[str] = []
        cells, taken = self.grid.cells, set(self.grid.network)
        for index, ensemble in enumerate(self.report.ensembles):
            place = f"report.ensembles[{index}]"
            if ensemble.name in taken:
                mistakes.append(f"{place}.name: {ensemble.name!r} is taken, by a network or by an ensemble above")
            taken.add(ensemble.name)
            idle = [
                f"{place}.cells[{number}]: {pattern!r} matches no cell of the grid; "
                f"cells are <network>-<seed>, such as {cells[0].name}"
                for number, pattern in enumerate(ensemble.cells)
                if not any(fnmatchcase(cell.name, pattern) for cell in cells)
            ]
            mistakes += idle
            if not idle and len(ensemble.among(cells)) < 2:
                mistakes.append(f"{place}.cells: {ensemble.cells} match one cell; an ensemble takes two or more")
        return mistakes

    @model_validator(mode="after")
    def _the_images_are_used_as_they_are_kept(self) -> Self:
        augment, data = self.augment, self.data
        mistakes: list[str] = []
        if data.storage == "arrays":
            unused = {
                "augment.crop": (augment.crop, None),
                "augment.lighting": (augment.lighting, 0),
                "train.workers": (self.train.workers, 0),
                "evaluate.workers": (self.evaluate.workers, 0),
                "evaluate.views": (self.evaluate.views, "single"),
            }
            mistakes += [
                f"{place}: {value}: is for data.storage 'files'; allowed with 'arrays' is {allowed}"
                for place, (value, allowed) in unused.items()
                if value != allowed
            ]
        elif augment.pad:
            mistakes.append(f"augment.pad: {augment.pad}: is for data.storage 'arrays'; allowed with 'files' is 0")
        elif augment.crop is None:
            mistakes.append("augment.crop: None: data.storage 'files' needs shorter_side or area here")
        elif augment.crop.shorter_side is not None and augment.crop.shorter_side[0] < (data.image_size or 0):
            mistakes.append(
                f"augment.crop.shorter_side[0]: {augment.crop.shorter_side[0]}: must be at least data.image_size, "
                f"{data.image_size}"
            )
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self


Sections = TypeVar("Sections", bound=_Section)


def load_params(sections: type[Sections], path: Path = PARAMS_FILE) -> Sections:
    """Read the sections that a stage declares, so that it can't depend on others without saying so in dvc.yaml.

    Raises:
        ConfigError: as `load_config`; also for a section that resgrid doesn't know.
    """
    values = read_params(path)
    if unknown := [name for name in values if name not in Config.model_fields]:
        raise ConfigError(f"{path}: {unknown[0]}: no such section; allowed are {', '.join(Config.model_fields)}")
    return _check({name: values[name] for name in sections.model_fields if name in values}, path, sections)


def load_config(path: Path = PARAMS_FILE, changes: Mapping[str, Any] | None = None) -> Config:
    """Read and check `params.yaml`.

    Args:
        changes: values to use instead of the file's, by their dotted names, such as `{"optimizer.lr": 0.1}`.

    Raises:
        ConfigError: the file is missing, is no YAML, or holds values that are not allowed; all of them are listed.
    """
    return check_params(with_changes(read_params(path), changes or {}), path)


def with_changes(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of nested values with those of the dotted names changed."""
    changed = copy.deepcopy(values)
    for name, value in changes.items():
        *sections, last = name.split(".")
        place = changed
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return changed


def read_params(path: Path) -> dict[str, Any]:
    """The file's plain values, read as YAML 1.2, as DVC reads them.

    Raises:
        ConfigError: the file is missing or is no YAML mapping.
    """
    try:
        values = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file; run from the repository's root, or `make run PRESET=digits`"
        ) from None
    except YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: holds {type(values).__name__}, not a mapping of sections")
    return values


def check_params(values: dict[str, Any], path: Path) -> Config:
    """Turn plain values into a `Config`; `path` is named in the messages.

    Raises:
        ConfigError: with one line for each mistake: place, value, what is allowed.
    """
    return _check(values, path, Config)


def _check(values: dict[str, Any], path: Path, sections: type[Sections]) -> Sections:
    try:
        return sections.model_validate(values)
    except ValidationError as error:
        places = {section: place for place, section in enumerate(values)}
        in_file_order = sorted(error.errors(), key=lambda details: places.get(str(next(iter(details["loc"]), "")), 99))
        mistakes = [line for details in in_file_order for line in _mistakes(dict(details))]
        count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
        raise ConfigError("\n".join([f"{path}: {count}", *(f"  {line}" for line in mistakes)])) from None


def _mistakes(details: dict[str, Any]) -> list[str]:
    """One pydantic error as lines of `place: value: what is allowed`."""
    place = _place(details["loc"])
    if details["type"] == "value_error":
        # Our own validators: each line of the message begins at, or below, the place.
        separators = {True: "", False: "." if place else ""}
        lines = str(details["ctx"]["error"]).splitlines()
        return [f"{place}{separators[line.startswith('[')]}{line}" for line in lines]
    if details["type"] == "missing":
        return [f"{place}: is missing"]
    if details["type"] == "extra_forbidden":
        return [f"{place}: {details['input']!r}: no such parameter"]
    message = details["msg"].removeprefix("Input ")
    return [f"{place}: {details['input']!r}: {message}"]


def _place(location: tuple[str | int, ...]) -> str:
    """`("grid", "network", 2)` as `grid.network[2]`."""
    place = ""
    for part in location:
        if isinstance(part, int):
            place += f"[{part}]"
        elif not (part.startswith(("literal[", "constrained-", "function-")) or part == "int"):
            # pydantic adds the branch of a union to the place, such as "literal['auto']", which no reader has written.
            place += f".{part}" if place else part
    return place


def _wrong_distribution(value: Any) -> str | None:
    """What is wrong with a distribution of the section `search`."""
    if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in ("log", "uniform", "int", "choice"):
        return f"{value}: must be {{log: [low, high]}}, {{uniform: …}}, {{int: …}} or {{choice: [value, …]}}"
    ((kind, values),) = value.items()
    if kind == "choice":
        if not isinstance(values, list) or not values:
            return f"choice: {values}: must be a list of values"
        repeated = [item for index, item in enumerate(values) if item in values[:index]]
        return f"choice: {repeated[0]} stands twice" if repeated else None
    allowed = (int,) if kind == "int" else (int, float)
    if (
        not isinstance(values, list)
        or len(values) != 2
        or any(
            isinstance(bound, bool) or not isinstance(bound, allowed) or not math.isfinite(bound) for bound in values
        )
        or values[0] >= values[1]
    ):
        return f"{kind}: {values}: must be two {'whole ' if kind == 'int' else ''}numbers [low, high], low below high"
    if kind == "log" and values[0] <= 0:
        return f"log: {values}: must be above 0: it has no logarithm"
    return None
