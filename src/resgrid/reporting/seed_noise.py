"""What changes from seed to seed: a noise floor of the test error, churn, calibration, and images of one kind only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import special

from resgrid.artifacts.files import RUNS
from resgrid.reporting.ensembles import read_common_labels, read_logits
from resgrid.reporting.results import NetworkResult, Results
from resgrid.reporting.statistics import Sample

_BINS = 15  # of confidence, as in Guo et al.


@dataclass(frozen=True)
class SeedNoise:
    """The variation of one network's test results over its seeds.

    Attributes:
        deviation: sample standard deviation of the test error, in points.
        of_test_set: the part of it that a test set of this size makes even if all seeds had equal true errors.
        rest: the part that remains: the standard deviation of the error on unlimited test images. Zero if the test set
            explains the whole deviation.
        churn: mean proportion of test images to which two seeds give different classes, in percent.
        calibration_error: expected calibration error (ECE) by seed, in percent.
    """

    network: NetworkResult
    deviation: float
    of_test_set: float
    rest: float
    churn: float
    calibration_error: Sample


@dataclass(frozen=True)
class ImagesOfOneKind:
    """The test images that a residual network and its plain counterpart get right, each in most of its seeds.

    Attributes:
        only_residual: indices of the images that only the residual network gets right, in the order of the test split.
        only_plain: those that only the plain network gets right.
        both: number of images that both get right.
        neither: number of images that neither gets right.
    """

    plain: NetworkResult
    residual: NetworkResult
    only_residual: tuple[int, ...]
    only_plain: tuple[int, ...]
    both: int
    neither: int


def read_seed_noise(
    results: Results, classes: Sequence[str], runs: Path = RUNS
) -> tuple[list[SeedNoise], list[ImagesOfOneKind]]:
    """Compute the noise of each network, and the images of each pair of a residual network and its plain counterpart.

    Networks with one seed are left out.

    Raises:
        ResultsError: logits are missing or contradict other files.
    """
    networks = {network.name: network for network in results.by_depth if len(network.cells) > 1}
    if not networks:
        return [], []
    labels = read_common_labels(results, classes, runs)
    noises: list[SeedNoise] = []
    right_by_most: dict[str, NDArray[np.bool_]] = {}
    for network in networks.values():
        predicted: list[NDArray[np.int64]] = []
        calibration: list[float] = []
        for cell in network.cells:
            logits = read_logits(cell, labels, len(classes), runs)
            predicted.append(logits.argmax(axis=1))
            calibration.append(calibration_error(logits, labels))
        answers = np.array(predicted)
        right_by_most[network.name] = (answers == labels).mean(axis=0) > 0.5
        parts = split_deviation(answers != labels)
        noises.append(SeedNoise(network, *parts, churn(answers), Sample(tuple(calibration))))
    pairs = [
        _compare(networks[network.plain_counterpart], network, right_by_most)
        for network in networks.values()
        if network.plain_counterpart in networks
    ]
    return noises, pairs


def split_deviation(wrong: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Split the standard deviation of the test error over seeds, in points.

    The variance on a given test set is that on unlimited images plus that of which images are in the set. For n images,
    the second part is Σ Var(wrong_i) / n², with variances over seeds, and the first is n / (n - 1) times the remainder.
    Source: K. Jordan, "On the Variance of Neural Network Training with respect to Test Sets and Distributions"
    (arXiv 2304.01910).

    Args:
        wrong: (seeds, n), at least two of each.

    Returns:
        The standard deviation, the part that the finite test set makes, and the rest; the squares of the last two add
        up to that of the first, but for the factor n / (n - 1). The rest is zero where its estimated variance is
        negative.
    """
    images = wrong.shape[1]
    total = float(np.var(100 * wrong.mean(axis=1), ddof=1))
    of_test_set = float(np.var(100 * wrong, axis=0, ddof=1).sum()) / images**2
    rest = max(0.0, images / (images - 1) * (total - of_test_set))
    return math.sqrt(total), math.sqrt(of_test_set), math.sqrt(rest)


def churn(answers: NDArray[np.int64]) -> float:
    """Return how many images two seeds classify differently, in percent, averaged over the pairs of seeds.

    Source: M. Milani Fard et al., "Launch and Iterate: Reducing Prediction Churn" (NIPS 2016).

    Args:
        answers: predicted classes (seeds, n), at least two seeds.
    """
    seeds = len(answers)
    agreeing = sum(float((answers[one] == answers[:one]).mean(axis=1).sum()) for one in range(1, seeds))
    return 100 * (1 - agreeing / math.comb(seeds, 2))


def calibration_error(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the expected calibration error in percent, with 15 bins of equal width.

    The mean over bins of |accuracy - mean confidence|, weighted with the images in the bin. Source: C. Guo et al., "On
    Calibration of Modern Neural Networks" (arXiv 1706.04599), section 2.

    Args:
        logits: (n, classes); images with a logit that is not finite count as equal probabilities.
        labels: (n,).
    """
    known = np.where(np.isfinite(logits).all(axis=1, keepdims=True), logits, 0.0)
    probabilities = special.softmax(known, axis=1)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=_BINS)
    return 100 * float(np.abs(gaps).sum()) / len(labels)


def _compare(
    plain: NetworkResult, residual: NetworkResult, right_by_most: dict[str, NDArray[np.bool_]]
) -> ImagesOfOneKind:
    by_plain, by_residual = right_by_most[plain.name], right_by_most[residual.name]
    return ImagesOfOneKind(
        plain,
        residual,
        tuple(np.flatnonzero(by_residual & ~by_plain).tolist()),
        tuple(np.flatnonzero(by_plain & ~by_residual).tolist()),
        int((by_plain & by_residual).sum()),
        int((~by_plain & ~by_residual).sum()),
    )
