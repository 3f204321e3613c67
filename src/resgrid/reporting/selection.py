"""What choosing on the test set would gain: honest and forbidden ways to pick the run that is reported, side by side.

Training never sees the test images, so there is no test error at other steps, and none is computed for this: only two
sets of weights of each run are tested, the last and the validation-selected. What can be shown from them:

* **which run**: the best of n seeds, and **which of the two weights**, both chosen by their test error;
* **which step**: the step chosen on the validation images, and the error on these same images. There, where choosing
  is allowed, is to be seen how much of the gain is real: the same weights' gain on the test images.

Not included, so the usual inflation is larger than shown here: the best of all epochs on the test set, and networks,
rates, schedules and augmentations that were chosen by looking at it.
"""

from __future__ import annotations

from dataclasses import dataclass

from resgrid.reporting.results import NetworkResult, Results
from resgrid.reporting.statistics import Spread, expected_best


@dataclass(frozen=True)
class Selection:
    """Test errors of one network by the way of choosing what is reported; in percent, differences in points.

    Attributes:
        last: of the final weights: nothing is chosen. The mean is the number to quote.
        validated: of the weights with each run's lowest validation error: chosen without the test images.
        best_validated: of the one run, and its weights, with the lowest validation error of all: an honest best run.
        forbidden_weights: the lower of last and validated of each run, by their test error.
        forbidden_run: the lowest `last` of all runs: "the best of n runs".
        forbidden: the lowest of all, over runs and both weights.
        step_promise: validation error, last minus selected: what choosing the step gains on the images that chose it.
        step_delivery: test error, last minus selected: what remains of it on other images.
    """

    network: str
    last: Spread
    validated: Spread
    best_validated: float
    forbidden_weights: Spread
    forbidden_run: float
    forbidden: float
    step_promise: Spread
    step_delivery: Spread

    @property
    def inflation(self) -> float:
        """Points by which the forbidden choice of run and weights flatters the mean of the final weights."""
        return self.last.mean - self.forbidden

    @property
    def inflation_by_run(self) -> float:
        """The part of it that reporting the best of n runs makes."""
        return self.last.mean - self.forbidden_run

    @property
    def inflation_by_luck(self) -> float | None:
        """What the best of n runs would flatter by chance alone, if runs scatter normally as these do; None for one."""
        return None if self.last.deviation is None else expected_best(self.last.n) * self.last.deviation

    @property
    def optimism(self) -> float:
        """Points by which the error on the images that chose the step is too good, on average over the runs."""
        return self.step_promise.mean - self.step_delivery.mean


def selections(results: Results) -> list[Selection]:
    """One row for each network, plain networks and their twins by depth."""
    return [_selection(network) for network in results.by_depth]


def _selection(network: NetworkResult) -> Selection:
    errors = network.errors
    last, validated = errors["test_error"], errors["selected_test_error"]
    lower = Spread(tuple(map(min, zip(last.values, validated.values, strict=True))))
    best = min(network.cells, key=lambda cell: cell.train.selected_val_error)  # the earliest seed of equals
    return Selection(
        network=network.name,
        last=last,
        validated=validated,
        best_validated=best.test.selected_test_error,
        forbidden_weights=lower,
        forbidden_run=last.best,
        forbidden=lower.best,
        step_promise=_gain(errors["val_error"], errors["selected_val_error"]),
        step_delivery=_gain(last, validated),
    )


def _gain(before: Spread, after: Spread) -> Spread:
    return Spread(tuple(first - second for first, second in zip(before.values, after.values, strict=True)))
