"""Published errors next to this grid's, and every difference in data and recipe that keeps them from being compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resgrid import paper
from resgrid.artifacts.data_card import DatasetCard
from resgrid.config.report import ReportParams
from resgrid.config.train import WarmupConfig
from resgrid.names import parse_network
from resgrid.paper import PublishedError
from resgrid.reporting.formatting import listed
from resgrid.reporting.results import CellResult, Results
from resgrid.reporting.statistics import Difference, Moments, Sample, welch_difference

_Setting = tuple[str, object, object]  # name, value in this grid, value in the paper


@dataclass(frozen=True)
class Comparability:
    """Whether this grid and the paper are directly comparable: same data, recipe and split.

    Attributes:
        differences: from the paper's data and recipe, as phrases; empty if directly comparable.
        label: `directly comparable`, or the most serious difference.
    """

    differences: tuple[str, ...]
    label: str

    @property
    def direct(self) -> bool:
        return not self.differences


def comparability(config: ReportParams, card: DatasetCard, cells: Sequence[CellResult]) -> Comparability:
    """Compare data first, then the length of the schedule, then the rest of the recipe."""
    differences = tuple(differences_from_paper(config, card, cells))
    if card.name != "cifar10" and not is_imagenet(card):
        return Comparability(differences, f"other data: {card.label}")
    steps = _recipe(card).max_steps
    if config.train.max_steps < steps:
        return Comparability(differences, f"short schedule: {config.train.max_steps:,} of {steps:,} steps")
    return Comparability(differences, "other recipe" if differences else "directly comparable")


def is_imagenet(card: DatasetCard) -> bool:
    """Whether the user's label of the data names the data set of the paper's Tables 2 to 4."""
    return card.label.startswith("ImageNet")


@dataclass(frozen=True)
class PaperComparison:
    """A published error next to this grid's.

    Attributes:
        ours: test errors of the final weights over the seeds, in percent.
        direct: whether the two are directly comparable.
        label: why they are not; empty if they are.
        difference: ours minus the published mean, by Welch's test; None unless the two are directly comparable and both
            have a standard deviation.
        expected: whether a single published run lies in the 95% prediction interval of our runs; None likewise.
    """

    published: PublishedError
    ours: Sample
    direct: bool
    label: str
    difference: Difference | None
    expected: bool | None


def compare_with_published(results: Results, config: ReportParams, card: DatasetCard) -> list[PaperComparison]:
    """Pair every published error of these data, re-encoded or not, with the network of the grid.

    Only directly comparable errors are subtracted; the others carry a label.
    """
    ours = comparability(config, card, results.all_cells)
    samples = {network.name: network.errors["test_error"] for network in results.networks}
    return [
        _compare(number, samples[number.network], ours)
        for number in (*paper.TABLE_6, *paper.REPRODUCTIONS)
        if number.network in samples and card.label.startswith(number.data)
    ]


def comparable_errors(config: ReportParams, card: DatasetCard, cells: Sequence[CellResult]) -> dict[str, float]:
    """Return the paper's CIFAR-10 errors by network; empty if this grid is not directly comparable."""
    if differences_from_paper(config, card, cells):
        return {}
    return {number.network: number.error for number in paper.TABLE_6 if number.error is not None}


def _compare(published: PublishedError, ours: Sample, comparable: Comparability) -> PaperComparison:
    labels = [label for label in ("" if comparable.direct else comparable.label, published.caveat) if label]
    if labels or published.error is None:
        return PaperComparison(published, ours, not labels, "; ".join(labels), None, None)
    theirs = Moments(published.n, published.error, published.standard_deviation)
    difference = welch_difference(theirs, Moments(ours.n, ours.mean, ours.standard_deviation))
    expected = None
    if published.n == 1 and ours.prediction_interval is not None:
        low, high = ours.prediction_interval
        expected = low <= published.error <= high
    return PaperComparison(published, ours, True, "", difference, expected)


def differences_from_paper(config: ReportParams, card: DatasetCard, cells: Sequence[CellResult]) -> list[str]:
    """List the differences from the paper's runs as phrases; an empty list means directly comparable.

    Images labeled ImageNet are compared with section 3.4, all others with CIFAR-10 in section 4.2. Settings that can't
    change what is computed, such as `val_every`, are not compared. The optimizer is always SGD with momentum.

    Args:
        cells: the precision and the number of devices are those of these runs.
    """
    recipe = _recipe(card)
    settings: list[_Setting] = [
        *([] if is_imagenet(card) else [("data", card.name, "cifar10")]),
        ("training images", card.counts.get("train"), recipe.train_images),
        ("test images", card.counts.get("test"), recipe.test_images),
        ("normalization", config.augment.normalize, recipe.normalize),
        ("flips", "on" if config.augment.flip else "off", "on"),
        ("steps", config.train.max_steps, recipe.max_steps),
        ("batch size", config.train.batch_size, recipe.batch_size),
        ("learning rate", config.optimizer.lr, recipe.learning_rate),
        ("factor of each drop", config.schedule.gamma, recipe.learning_rate_factor),
        ("momentum", config.optimizer.momentum, recipe.momentum),
        ("weight decay", config.optimizer.weight_decay, recipe.weight_decay),
        ("precision", listed(sorted({cell.train.precision for cell in cells})), "32"),
        ("compilation", "on" if config.train.compile else "off", "off"),
        *(_imagenet_settings(config, card) if is_imagenet(card) else _cifar10_settings(config, cells)),
    ]
    differences = [f"{name} {_text(ours)}, not {_text(theirs)}" for name, ours, theirs in settings if ours != theirs]
    return [*differences, *_warmup_difference(config, card)]


def _text(value: object) -> str:
    if isinstance(value, list):
        return listed([_text(each) for each in value]) if value else "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _recipe(card: DatasetCard) -> paper.Recipe:
    return paper.IMAGENET_RECIPE if is_imagenet(card) else paper.CIFAR10_RECIPE


def _cifar10_settings(config: ReportParams, cells: Sequence[CellResult]) -> list[_Setting]:
    """Return the settings that section 4.2 alone has."""
    return [
        ("padding", config.augment.pad, paper.CIFAR10_PADDING),
        (
            "images per batch normalization",
            _normalized_together(config, cells),
            paper.CIFAR10_RECIPE.batch_size // paper.CIFAR10_DEVICES,
        ),
        ("learning rate drops at", config.schedule.milestones, list(paper.CIFAR10_MILESTONES)),
    ]


def _normalized_together(config: ReportParams, cells: Sequence[CellResult]) -> int | str:
    """Return the images whose statistics batch normalization uses in training: a device's part of the batch."""
    batch_size, devices = config.train.batch_size, config.train.devices
    if config.train.sync_batchnorm:
        return batch_size
    if devices != "auto":
        return batch_size // (devices * config.train.num_nodes)
    shares = {batch_size // cell.record.train.devices for cell in cells if cell.record and cell.record.train}
    return shares.pop() if len(shares) == 1 else listed([str(share) for share in sorted(shares)]) or "unknown"


def _imagenet_settings(config: ReportParams, card: DatasetCard) -> list[_Setting]:
    """Return the settings that section 3.4 alone has; tests are those of Tables 2 and 3, or of Table 4."""
    crop = config.augment.crop
    views, scales = config.evaluate.views, config.evaluate.scales
    multi_scale = views == "multi_scale"
    return [
        ("classes", len(card.classes), paper.IMAGENET_CLASSES),
        ("crop size", card.shape[-1], paper.IMAGENET_CROP),
        ("shorter side", crop.shorter_side if crop else None, list(paper.IMAGENET_SHORTER_SIDE)),
        ("color augmentation", config.augment.lighting, paper.IMAGENET_LIGHTING),
        (
            "learning rate drops",
            "on plateaus" if config.schedule.plateau else config.schedule.milestones,
            "on plateaus",
        ),
        ("views of a test image", views, views if multi_scale else "ten_crop"),
        ("scales of a test image", scales, list(paper.IMAGENET_TEST_SCALES) if multi_scale else scales),
    ]


def _warmup_difference(config: ReportParams, card: DatasetCard) -> list[str]:
    """Return one phrase if other depths of the grid warm up than in the paper, or in another way."""
    depths = {depth for name in config.grid.network if (depth := parse_network(name).depth) is not None}
    warmup = paper.CIFAR10_WARMUP
    theirs = set[int]() if is_imagenet(card) else {depth for depth in depths if depth >= warmup.from_depth}
    if _warms_up_as(config.schedule.warmup, depths, theirs):
        return []
    expected = f"learning rate {warmup.learning_rate} from depth {warmup.from_depth} on"
    return [f"warm-up not as in the paper ({'none on ImageNet' if is_imagenet(card) else expected})"]


def _warms_up_as(warmup: WarmupConfig | None, depths: set[int], theirs: set[int]) -> bool:
    """Return whether the depths in `theirs` warm up, no others do, and the warm-up is the paper's."""
    if warmup is None:
        return not theirs
    ours = {depth for depth in depths if depth >= warmup.from_depth}
    as_published = (paper.CIFAR10_WARMUP.learning_rate, paper.CIFAR10_WARMUP.until_train_error)
    return ours == theirs and (not ours or (warmup.lr, warmup.until_train_error) == as_published)
