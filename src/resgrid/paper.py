"""Numbers that He et al. (2015) and others published: errors, complexity and training recipes.

Source, where no other is given: K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image Recognition",
arXiv 1512.03385. Three numbers need a reading, which is stated where they are defined: the CIFAR-10 training images
(`CIFAR10_RECIPE`), depth 110 in Table 6 (`TABLE_6`), and one reproduction's depth 110 (`REPRODUCTIONS`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ErrorKind = Literal["test error", "top-1 error", "top-5 error"]
ImageShape = tuple[int, int, int]


@dataclass(frozen=True)
class PublishedError:
    """A published error.

    Attributes:
        error: in percent, of one run or the mean over n runs; None where only a bound is given.
        text: the number as printed.
        source: table or section of the paper, or a URL.
        network: resgrid's name of the network, or a description where resgrid has none.
        data: the data set; `DatasetCard.label` begins with this name.
        n: number of runs.
        standard_deviation: over the runs, in points; None for one run.
        kind: which error.
        caveat: how the number differs from a test of final weights by the paper's CIFAR-10 recipe; empty if it doesn't.
    """

    error: float | None
    text: str
    source: str
    network: str
    data: str = "CIFAR-10"
    n: int = 1
    standard_deviation: float | None = None
    kind: ErrorKind = "test error"
    caveat: str = ""


@dataclass(frozen=True)
class PublishedCount:
    """A published complexity: `value` × `unit`, with `digits` decimals.

    Attributes:
        network: resgrid's name of the network.
        image: channels, height, width.
    """

    network: str
    image: ImageShape
    classes: int
    quantity: Literal["parameters", "multiply-adds"]
    value: float
    digits: int
    unit: float
    source: str


@dataclass(frozen=True)
class Recipe:
    """A training recipe: what is the same in the paper's CIFAR-10 and ImageNet runs in kind, if not in value."""

    train_images: int
    test_images: int
    batch_size: int
    max_steps: int
    normalize: str = "per_pixel_mean"
    learning_rate: float = 0.1
    learning_rate_factor: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4


@dataclass(frozen=True)
class Warmup:
    """A lower learning rate until the training error falls below a bound (section 4.2).

    Attributes:
        from_depth: the shallowest of the paper's networks that needs it.
        until_train_error: in percent.
    """

    from_depth: int
    learning_rate: float
    until_train_error: float


# Section 4.2. "These models are trained with a mini-batch size of 128 […] and terminate training at 64k iterations,
# which is determined on a 45k/5k train/val split" leaves open whether the final networks were trained on 45,000 or on
# all 50,000 images. resgrid reads 45,000.
CIFAR10_RECIPE = Recipe(train_images=45_000, test_images=10_000, batch_size=128, max_steps=64_000)
CIFAR10_MILESTONES = (32_000, 48_000)
CIFAR10_PADDING = 4
CIFAR10_DEVICES = 2  # "a mini-batch size of 128 on two GPUs": each normalizes its own 64 images
CIFAR10_WARMUP = Warmup(from_depth=110, learning_rate=0.01, until_train_error=80)

# Section 3.4. The learning rate drops on plateaus of the error.
IMAGENET_RECIPE = Recipe(train_images=1_281_167, test_images=50_000, batch_size=256, max_steps=600_000)
IMAGENET_CLASSES = 1000
IMAGENET_CROP = 224
IMAGENET_SHORTER_SIDE = (256, 480)
IMAGENET_LIGHTING = 0.1  # AlexNet's color augmentation, by its standard deviation
IMAGENET_TEST_SCALES = (224, 256, 384, 480, 640)

# The CIFAR-10 networks use option A (section 4.2). Other errors of plain networks are curves only (Fig. 6, left), so
# they are not numbers here. For depth 110 Table 6 prints the best of five runs, 6.43, and in brackets their mean and
# standard deviation. The mean is used here, since the best run was selected by its test error.
TABLE_6 = (
    PublishedError(8.75, "8.75", "Table 6", "resnet20-A"),
    PublishedError(7.51, "7.51", "Table 6", "resnet32-A"),
    PublishedError(7.17, "7.17", "Table 6", "resnet44-A"),
    PublishedError(6.97, "6.97", "Table 6", "resnet56-A"),
    PublishedError(None, "above 60", "Section 4.2", "plain110"),
    PublishedError(6.61, "6.43 (6.61 ± 0.16, n = 5)", "Table 6", "resnet110-A", n=5, standard_deviation=0.16),
    PublishedError(7.93, "7.93", "Table 6", "resnet1202-A"),
)

_TEN_CROPS = "ImageNet validation images, averaged over 10 crops"
_SCALES = "ImageNet validation images, averaged over fully convolutional tests at 5 scales"


def _imagenet(
    source: str, network: str, top_1: float | None, top_5: float | None, caveat: str
) -> tuple[PublishedError, ...]:
    errors: tuple[tuple[ErrorKind, float | None], ...] = (("top-1 error", top_1), ("top-5 error", top_5))
    return tuple(
        PublishedError(error, f"{error:.2f}", source, network, "ImageNet", kind=kind, caveat=caveat)
        for kind, error in errors
        if error is not None
    )


# Plain and residual networks next to each other; option A.
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


def _multiply_adds(network: str, billions: float) -> PublishedCount:
    return PublishedCount(network, (3, 224, 224), 1000, "multiply-adds", billions, 1, 1e9, "Table 1")


def _parameters(network: str, millions: float, digits: int) -> PublishedCount:
    return PublishedCount(network, (3, 32, 32), 10, "parameters", millions, digits, 1e6, "Table 6")


COMPLEXITY = (
    _multiply_adds("resnet18-imagenet-A", 1.8),
    _multiply_adds("resnet34-imagenet-A", 3.6),
    _multiply_adds("resnet50-imagenet-B", 3.8),
    _multiply_adds("resnet101-imagenet-B", 7.6),
    _multiply_adds("resnet152-imagenet-B", 11.3),
    _parameters("resnet20-A", 0.27, 2),
    _parameters("resnet32-A", 0.46, 2),
    _parameters("resnet44-A", 0.66, 2),
    _parameters("resnet56-A", 0.85, 2),
    _parameters("resnet110-A", 1.7, 1),
    _parameters("resnet1202-A", 19.4, 1),
)

_AKAMASTER = "github.com/akamaster/pytorch_resnet_cifar10"
_BEST_EPOCH = (
    "trained on all 50,000 images, 200 epochs with drops at 100 and 150; the best epoch was chosen on the test set"
)
_GCR = "github.com/gcr/torch-residual-networks"
_NESTEROV = "trained on all 50,000 images, 200 epochs with drops at 80 and 160, Nesterov momentum"

# Other people's code; option A where the network's name doesn't give another. gcr calls the deep networks of its
# comparison of blocks "110-layer (Nsize=19)", but 6 · 19 + 2 = 116 layers, so they stand here as depth 116.
REPRODUCTIONS = (
    PublishedError(8.27, "8.27", _AKAMASTER, "resnet20-A", caveat=_BEST_EPOCH),
    PublishedError(7.37, "7.37", _AKAMASTER, "resnet32-A", caveat=_BEST_EPOCH),
    PublishedError(6.90, "6.90", _AKAMASTER, "resnet44-A", caveat=_BEST_EPOCH),
    PublishedError(6.61, "6.61", _AKAMASTER, "resnet56-A", caveat=_BEST_EPOCH),
    PublishedError(6.32, "6.32", _AKAMASTER, "resnet110-A", caveat=_BEST_EPOCH),
    PublishedError(
        7.56,
        "7.56 ± 0.54 (n = 6)",
        f"{_AKAMASTER}/issues/18",  # 7.4, 7.29, 7.4, 6.89, 8.42, 7.95
        "resnet56-A",
        n=6,
        standard_deviation=0.54,
        caveat=f"the same code, run by another user; {_BEST_EPOCH}",
    ),
    PublishedError(8.29, "8.29", _GCR, "resnet20-A", caveat=_NESTEROV),
    PublishedError(7.63, "7.63", _GCR, "resnet32-A", caveat=_NESTEROV),
    PublishedError(7.14, "7.14", _GCR, "resnet44-A", caveat=_NESTEROV),
    PublishedError(6.94, "6.94", _GCR, "resnet56-A", caveat=_NESTEROV),
    PublishedError(6.73, "6.73", _GCR, "resnet110-A", caveat=f"{_NESTEROV}; warm-up at 0.001 for 400 steps"),
    PublishedError(8.34, "8.34", _GCR, "resnet20-A-addnorm", caveat=_NESTEROV),
    PublishedError(8.62, "8.62", _GCR, "resnet20-A, no ReLU after the addition", caveat=_NESTEROV),
    PublishedError(6.97, "6.97", _GCR, "resnet116-A", caveat=f"{_NESTEROV}; called 110 layers"),
    PublishedError(13.56, "13.56", _GCR, "resnet116-A-addnorm", caveat=f"{_NESTEROV}; called 110 layers"),
    PublishedError(
        6.32, "6.32", _GCR, "resnet116-A, no ReLU after the addition", caveat=f"{_NESTEROV}; called 110 layers"
    ),
)
