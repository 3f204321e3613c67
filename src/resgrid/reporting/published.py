"""The paper's numbers on CIFAR-10, and what sets our runs apart from the paper's."""

from __future__ import annotations

from dataclasses import dataclass

from resgrid.artifacts import DatasetCard
from resgrid.cells import parse_network
from resgrid.config import Config, WarmupConfig


@dataclass(frozen=True)
class Published:
    """A published test error on CIFAR-10.

    Attributes:
        error: in percent, of one run or the mean over n; None where the paper gives only a bound.
        text: the number as it is printed.
        source: the place in the paper.
    """

    error: float | None
    text: str
    source: str


# Of "Deep Residual Learning for Image Recognition", arXiv 1512.03385. Its CIFAR-10 networks are option A (section 4.2),
# and its other plain errors are curves only (Fig. 6, left), so they are no numbers here.
PUBLISHED: dict[str, Published] = {
    "resnet20-A": Published(8.75, "8.75", "Table 6"),
    "resnet32-A": Published(7.51, "7.51", "Table 6"),
    "resnet44-A": Published(7.17, "7.17", "Table 6"),
    "resnet56-A": Published(6.97, "6.97", "Table 6"),
    "plain110": Published(None, "above 60", "Section 4.2"),
    "resnet110-A": Published(6.61, "6.61 ± 0.16 (n = 5)", "Table 6"),
    "resnet1202-A": Published(7.93, "7.93", "Table 6"),
}

_WARMUP_DEPTH, _WARMUP_LR, _WARMUP_UNTIL = 110, 0.01, 80


def differences_from_paper(config: Config, card: DatasetCard) -> list[str]:
    """What differs from the paper's CIFAR-10 runs (section 4.2), in words; none means like for like."""
    augment, optimizer, schedule, train = config.augment, config.optimizer, config.schedule, config.train
    ours_and_theirs: list[tuple[str, object, object]] = [
        ("the data", card.name, "cifar10"),
        ("training images", card.counts.get("train"), 45_000),
        ("test images", card.counts.get("test"), 10_000),
        ("normalisation", augment.normalize, "per_pixel_mean"),
        ("padding", augment.pad, 4),
        ("flips", "on" if augment.flip else "off", "on"),
        ("learning rate", optimizer.lr, 0.1),
        ("momentum", optimizer.momentum, 0.9),
        ("weight decay", optimizer.weight_decay, 1e-4),
        ("rate drops at", schedule.milestones, [32_000, 48_000]),
        ("factor of the drops", schedule.gamma, 0.1),
        ("steps", train.max_steps, 64_000),
        ("batch size", train.batch_size, 128),
    ]
    differences = [f"{what} {ours}, not {theirs}" for what, ours, theirs in ours_and_theirs if ours != theirs]
    depths = {depth for name in config.grid.network if (depth := parse_network(name).depth) is not None}
    if not _warms_up_like_the_paper(schedule.warmup, depths):
        differences.append(f"warm-up not as in the paper (rate {_WARMUP_LR} from depth {_WARMUP_DEPTH} on)")
    return differences


def _warms_up_like_the_paper(warmup: WarmupConfig | None, depths: set[int]) -> bool:
    theirs = {depth for depth in depths if depth >= _WARMUP_DEPTH}
    if warmup is None:
        return not theirs
    ours = {depth for depth in depths if depth >= warmup.from_depth}
    return ours == theirs and (not ours or (warmup.lr, warmup.until_train_error) == (_WARMUP_LR, _WARMUP_UNTIL))
