"""Published numbers with their n and source, what sets our runs apart from them, and the two side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from resgrid.artifacts.data_card import DatasetCard
from resgrid.config.report import ReportParams
from resgrid.config.train import WarmupConfig
from resgrid.names import parse_network
from resgrid.reporting.results import Results
from resgrid.reporting.statistics import Difference, Moments, Spread, welch_difference

Kind = Literal["test error", "top-1 error", "top-5 error"]


@dataclass(frozen=True)
class Published:
    """A published error.

    Attributes:
        error: in percent, of one run or the mean over n; None where only a bound is given.
        text: the number as it is printed.
        source: the place, with an address if it isn't in the paper.
        network: resgrid's name of the network, or words where it has none.
        data: the data set, as `DatasetCard.label` begins.
        n: runs behind it.
        deviation: over the runs, in points; None for one run.
        kind: which error.
        unlike: what sets it apart from a test of final weights by the paper's CIFAR-10 recipe; empty for nothing.
    """

    error: float | None
    text: str
    source: str
    network: str
    data: str = "CIFAR-10"
    n: int = 1
    deviation: float | None = None
    kind: Kind = "test error"
    unlike: str = ""


# Of "Deep Residual Learning for Image Recognition", arXiv 1512.03385. Its CIFAR-10 networks are option A (section 4.2),
# and its other plain errors are curves only (Fig. 6, left), so they are no numbers here.
TABLE_6 = (
    Published(8.75, "8.75", "Table 6", "resnet20-A"),
    Published(7.51, "7.51", "Table 6", "resnet32-A"),
    Published(7.17, "7.17", "Table 6", "resnet44-A"),
    Published(6.97, "6.97", "Table 6", "resnet56-A"),
    Published(None, "above 60", "Section 4.2", "plain110"),
    Published(6.61, "6.61 ± 0.16 (n = 5)", "Table 6", "resnet110-A", n=5, deviation=0.16),
    Published(7.93, "7.93", "Table 6", "resnet1202-A"),
)
PUBLISHED: dict[str, Published] = {number.network: number for number in TABLE_6}

_TEN_CROPS = "ImageNet validation images, averaged over 10 crops"
_SCALES = "ImageNet validation images, averaged over fully convolutional tests at 5 scales"


def _imagenet(
    source: str, network: str, top_1: float | None, top_5: float | None, unlike: str
) -> tuple[Published, ...]:
    kinds: tuple[tuple[Kind, float | None], ...] = (("top-1 error", top_1), ("top-5 error", top_5))
    return tuple(
        Published(error, f"{error:.2f}", source, network, "ImageNet", kind=kind, unlike=unlike)
        for kind, error in kinds
        if error is not None
    )


TABLE_2 = (
    *_imagenet("Table 2", "plain18-imagenet", 27.94, None, _TEN_CROPS),
    *_imagenet("Table 2", "resnet18-imagenet-A", 27.88, None, _TEN_CROPS),
    *_imagenet("Table 2", "plain34-imagenet", 28.54, None, _TEN_CROPS),
    *_imagenet("Table 2", "resnet34-imagenet-A", 25.03, None, _TEN_CROPS),
)
TABLE_3 = (
    *_imagenet("Table 3", "VGG-16", 28.07, 9.33, _TEN_CROPS),
    *_imagenet("Table 3", "plain34-imagenet", 28.54, 10.02, _TEN_CROPS),
    *_imagenet("Table 3", "resnet34-imagenet-A", 25.03, 7.76, _TEN_CROPS),
    *_imagenet("Table 3", "resnet34-imagenet-B", 24.52, 7.46, _TEN_CROPS),
    *_imagenet("Table 3", "resnet34-imagenet-C", 24.19, 7.40, _TEN_CROPS),
    *_imagenet("Table 3", "resnet50-imagenet-B", 22.85, 6.71, _TEN_CROPS),
    *_imagenet("Table 3", "resnet101-imagenet-B", 21.75, 6.05, _TEN_CROPS),
    *_imagenet("Table 3", "resnet152-imagenet-B", 21.43, 5.71, _TEN_CROPS),
)
TABLE_4 = (
    *_imagenet("Table 4", "resnet34-imagenet-B", 21.84, 5.71, _SCALES),
    *_imagenet("Table 4", "resnet34-imagenet-C", 21.53, 5.60, _SCALES),
    *_imagenet("Table 4", "resnet50-imagenet-B", 20.74, 5.25, _SCALES),
    *_imagenet("Table 4", "resnet101-imagenet-B", 19.87, 4.60, _SCALES),
    *_imagenet("Table 4", "resnet152-imagenet-B", 19.38, 4.49, _SCALES),
)
TABLE_5 = _imagenet(
    "Table 5", "ensemble of six residual networks", None, 3.57, "ImageNet test images, by the challenge's server"
)

_AKAMASTER = "github.com/akamaster/pytorch_resnet_cifar10"
_BEST_EPOCH = (
    "trained on all 50,000 images, 200 epochs with drops at 100 and 150; the best epoch was chosen on the test set"
)
_GCR = "github.com/gcr/torch-residual-networks"
_NESTEROV = "trained on all 50,000 images, 200 epochs with drops at 80 and 160, Nesterov momentum"
# Of others' code, option A where nothing else is said.
REPRODUCTIONS = (
    Published(8.27, "8.27", _AKAMASTER, "resnet20-A", unlike=_BEST_EPOCH),
    Published(7.37, "7.37", _AKAMASTER, "resnet32-A", unlike=_BEST_EPOCH),
    Published(6.90, "6.90", _AKAMASTER, "resnet44-A", unlike=_BEST_EPOCH),
    Published(6.61, "6.61", _AKAMASTER, "resnet56-A", unlike=_BEST_EPOCH),
    Published(6.32, "6.32", _AKAMASTER, "resnet110-A", unlike=_BEST_EPOCH),
    Published(
        7.56,
        "7.56 ± 0.54 (n = 6)",
        f"{_AKAMASTER}/issues/18",  # 7.4, 7.29, 7.4, 6.89, 8.42, 7.95
        "resnet56-A",
        n=6,
        deviation=0.54,
        unlike=f"the same code, run by another user; {_BEST_EPOCH}",
    ),
    Published(8.29, "8.29", _GCR, "resnet20-A", unlike=_NESTEROV),
    Published(7.63, "7.63", _GCR, "resnet32-A", unlike=_NESTEROV),
    Published(7.14, "7.14", _GCR, "resnet44-A", unlike=_NESTEROV),
    Published(6.94, "6.94", _GCR, "resnet56-A", unlike=_NESTEROV),
    Published(6.73, "6.73", _GCR, "resnet110-A", unlike=_NESTEROV),
    Published(8.34, "8.34", _GCR, "resnet20-A-addnorm", unlike=_NESTEROV),
    Published(8.62, "8.62", _GCR, "resnet20-A, no ReLU after the addition", unlike=_NESTEROV),
    Published(6.97, "6.97", _GCR, "resnet110-A", unlike=f"{_NESTEROV}; another run of it"),
    Published(13.56, "13.56", _GCR, "resnet110-A-addnorm", unlike=_NESTEROV),
    Published(6.32, "6.32", _GCR, "resnet110-A, no ReLU after the addition", unlike=_NESTEROV),
)


@dataclass(frozen=True)
class Likeness:
    """Whether a run set may stand beside the paper's numbers of the same data as like for like.

    Attributes:
        differences: what differs from the paper's data and recipe, in words; empty for like for like.
        label: for the eye, beside the numbers: `like for like`, or the gravest difference.
    """

    differences: tuple[str, ...]
    label: str

    @property
    def like(self) -> bool:
        return not self.differences


def likeness(config: ReportParams, card: DatasetCard) -> Likeness:
    """Data first, then the length of the schedule, then the rest of the recipe."""
    differences = tuple(differences_from_paper(config, card))
    if card.name != "cifar10" and not is_imagenet(card):
        return Likeness(differences, f"other data: {card.label}")
    steps = _IMAGENET_STEPS if is_imagenet(card) else _STEPS
    if config.train.max_steps < steps:
        return Likeness(differences, f"short schedule: {config.train.max_steps:,} of {steps:,} steps")
    return Likeness(differences, "other recipe" if differences else "like for like")


def is_imagenet(card: DatasetCard) -> bool:
    """Whether the paper's Tables 2 to 4 are of these data, by the label that the user gave them."""
    return card.label.startswith("ImageNet")


@dataclass(frozen=True)
class Beside:
    """A published number beside ours.

    Attributes:
        ours: test errors of the final weights over our seeds, in percent.
        like: like for like, in our recipe and in theirs.
        label: why not; empty if it is.
        difference: ours minus theirs, by Welch's test; None unless both have a deviation, and are like for like.
        usual: whether their single run lies where 95 % of our runs are expected; None likewise.
    """

    published: Published
    ours: Spread
    like: bool
    label: str
    difference: Difference | None
    usual: bool | None


def set_beside(results: Results, config: ReportParams, card: DatasetCard) -> list[Beside]:
    """Every published test error of a network of the grid on these data, also where they were re-encoded.

    Only a number that is like for like is compared; the others carry a label.
    """
    own = likeness(config, card)
    spreads = {network.name: network.errors["test_error"] for network in results.networks}
    return [
        _beside(number, spreads[number.network], own)
        for number in (*TABLE_6, *REPRODUCTIONS)
        if number.network in spreads and card.label.startswith(number.data)
    ]


def _beside(number: Published, ours: Spread, own: Likeness) -> Beside:
    labels = [label for label in ("" if own.like else own.label, number.unlike) if label]
    if labels or number.error is None:
        return Beside(number, ours, not labels, "; ".join(labels), None, None)
    theirs = Moments(number.n, number.error, number.deviation)
    difference = welch_difference(theirs, Moments(ours.n, ours.mean, ours.deviation))
    usual = None
    if number.n == 1 and ours.prediction_interval is not None:
        low, high = ours.prediction_interval
        usual = low <= number.error <= high
    return Beside(number, ours, True, "", difference, usual)


_STEPS, _IMAGENET_STEPS = 64_000, 600_000
_IMAGENET_SCALES = [224, 256, 384, 480, 640]
_WARMUP_DEPTH, _WARMUP_LR, _WARMUP_UNTIL = 110, 0.01, 80


def differences_from_paper(config: ReportParams, card: DatasetCard) -> list[str]:
    """What differs from the paper's runs, in words; none means like for like.

    The paper's runs are those on ImageNet (section 3.4) for images that are called so, else those on CIFAR-10
    (section 4.2).
    """
    optimizer = config.optimizer
    ours_and_theirs: list[tuple[str, object, object]] = [
        *(_on_imagenet(config, card) if is_imagenet(card) else _on_cifar10(config, card)),
        ("normalization", config.augment.normalize, "per_pixel_mean"),
        ("flips", "on" if config.augment.flip else "off", "on"),
        ("learning rate", optimizer.lr, 0.1),
        ("momentum", optimizer.momentum, 0.9),
        ("weight decay", optimizer.weight_decay, 1e-4),
        ("factor of the drops", config.schedule.gamma, 0.1),
    ]
    differences = [f"{what} {ours}, not {theirs}" for what, ours, theirs in ours_and_theirs if ours != theirs]
    depths = {depth for name in config.grid.network if (depth := parse_network(name).depth) is not None}
    theirs = set[int]() if is_imagenet(card) else {depth for depth in depths if depth >= _WARMUP_DEPTH}
    if not _warms_up_like_the_paper(config.schedule.warmup, depths, theirs):
        on_what = "none on ImageNet" if is_imagenet(card) else f"rate {_WARMUP_LR} from depth {_WARMUP_DEPTH} on"
        differences.append(f"warm-up not as in the paper ({on_what})")
    return differences


def _on_cifar10(config: ReportParams, card: DatasetCard) -> list[tuple[str, object, object]]:
    """What, ours, and the paper's of section 4.2."""
    return [
        ("the data", card.name, "cifar10"),
        ("training images", card.counts.get("train"), 45_000),
        ("test images", card.counts.get("test"), 10_000),
        ("padding", config.augment.pad, 4),
        ("rate drops at", config.schedule.milestones, [32_000, 48_000]),
        ("steps", config.train.max_steps, _STEPS),
        ("batch size", config.train.batch_size, 128),
    ]


def _on_imagenet(config: ReportParams, card: DatasetCard) -> list[tuple[str, object, object]]:
    """What, ours, and the paper's of section 3.4; its tests are those of Tables 2 and 3 or that of Table 4."""
    crop = config.augment.crop
    views, scales = config.evaluate.views, config.evaluate.scales
    return [
        ("classes", len(card.classes), 1000),
        ("training images", card.counts.get("train"), 1_281_167),
        ("test images", card.counts.get("test"), 50_000),
        ("side of a crop", card.shape[-1], 224),
        ("shorter side", crop.shorter_side if crop else None, [256, 480]),
        ("color augmentation", config.augment.lighting, 0.1),
        ("rate drops", "on plateaus" if config.schedule.plateau else config.schedule.milestones, "on plateaus"),
        ("steps", config.train.max_steps, _IMAGENET_STEPS),
        ("batch size", config.train.batch_size, 256),
        ("views of a test image", views, views if views == "multi_scale" else "ten_crop"),
        ("scales of a test image", scales, _IMAGENET_SCALES if views == "multi_scale" else scales),
    ]


def _warms_up_like_the_paper(warmup: WarmupConfig | None, depths: set[int], theirs: set[int]) -> bool:
    """Whether of the grid's depths those warm up which do in the paper, and in its way."""
    if warmup is None:
        return not theirs
    ours = {depth for depth in depths if depth >= warmup.from_depth}
    return ours == theirs and (not ours or (warmup.lr, warmup.until_train_error) == (_WARMUP_LR, _WARMUP_UNTIL))
