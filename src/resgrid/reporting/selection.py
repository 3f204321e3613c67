"""The bias of selecting runs or weights by test error, next to valid ways of selection.

Training never sees the test images, so test errors at other steps don't exist. Each run has two tested sets of weights:
the final ones, and those with the lowest validation error. They show two kinds of bias:

* **test selection**: the lowest test error over n seeds, and over the two sets of weights;
* **step selection**: the validation error at the step that was chosen by this same error. The test error of the same
  weights shows how much of the gain is real.

Selection of epochs, networks, learning rates, schedules or augmentation by test error is not included, so the usual
inflation is larger than shown here.
"""

from __future__ import annotations

from dataclasses import dataclass

from resgrid.reporting.results import NetworkResult, Results
from resgrid.reporting.statistics import FEWEST_SEEDS, Sample, expected_best, unbiasing


@dataclass(frozen=True)
class Selection:
    """Test errors of one network by the way of selection; in percent, differences in points.

    Attributes:
        final: of the final weights, without selection. Quote the mean.
        validation_selected: of the weights with each run's lowest validation error.
        best_by_validation: of the run and weights with the lowest validation error of all.
        test_selected_weights: the lower of `final` and `validation_selected` of each run.
        test_selected_run: the lowest of `final` over the runs ("the best of n runs").
        test_selected: the lowest over runs and weights.
        validation_gain: validation error, final minus selected: the gain on the images that selected the step.
        test_gain: test error, final minus selected: the gain on other images.
    """

    network: str
    final: Sample
    validation_selected: Sample
    best_by_validation: float
    test_selected_weights: Sample
    test_selected_run: float
    test_selected: float
    validation_gain: Sample
    test_gain: Sample

    @property
    def inflation(self) -> float:
        """Mean of the final weights minus the test-selected error."""
        return self.final.mean - self.test_selected

    @property
    def inflation_by_run(self) -> float:
        """The part of the inflation that comes from reporting the best of n runs."""
        return self.final.mean - self.test_selected_run

    @property
    def expected_inflation(self) -> float | None:
        """Inflation by run that is expected by chance from normal runs with this spread.

        The sample standard deviation underestimates the spread of few runs, which `unbiasing` corrects. None with fewer
        than three runs: of two, the lower always lies half their difference below the mean, so nothing can be expected.
        """
        deviation, n = self.final.standard_deviation, self.final.n
        return None if deviation is None or n < FEWEST_SEEDS else expected_best(n) * deviation / unbiasing(n)

    @property
    def optimism(self) -> float:
        """Mean validation gain minus mean test gain."""
        return self.validation_gain.mean - self.test_gain.mean


def selections(results: Results) -> list[Selection]:
    """Return one row for each network, from shallow to deep."""
    return [_selection(network) for network in results.by_depth]


def _selection(network: NetworkResult) -> Selection:
    errors = network.errors
    final, selected = errors["test_error"], errors["selected_test_error"]
    lower = Sample(tuple(map(min, zip(final.values, selected.values, strict=True))))
    best = min(network.cells, key=lambda cell: cell.train.selected_val_error)  # of equal cells, the first seed
    return Selection(
        network=network.name,
        final=final,
        validation_selected=selected,
        best_by_validation=best.test.selected_test_error,
        test_selected_weights=lower,
        test_selected_run=final.best,
        test_selected=lower.best,
        validation_gain=_gain(errors["val_error"], errors["selected_val_error"]),
        test_gain=_gain(final, selected),
    )


def _gain(before: Sample, after: Sample) -> Sample:
    return Sample(tuple(first - second for first, second in zip(before.values, after.values, strict=True)))
