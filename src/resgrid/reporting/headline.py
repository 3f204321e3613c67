"""The sentence at the top of the report, which says what the runs show."""

from __future__ import annotations

from resgrid.reporting.formatting import estimate
from resgrid.reporting.results import NetworkResult, Results


def headline(results: Results) -> str:
    """Compare the deepest residual network that has a plain counterpart, and the shallowest of the same kind, with it.

    Without such a pair, name the networks with the lowest and the highest test error.

    Args:
        results: with at least one network.
    """
    by_name = {network.name: network for network in results.networks}
    pairs = [
        (by_name[network.plain_counterpart], network)
        for network in results.by_depth
        if network.plain_counterpart in by_name
    ]
    if not pairs:
        return _extremes(results)
    plain, residual = pairs[-1]
    option = f" with option {residual.network.shortcut}"
    text = (
        f"At {residual.depth} layers, the mean test error is {_error(plain)} without shortcuts ({plain.name}) "
        f"and {_error(residual)}{option} ({residual.name})"
    )
    shallow_plain, shallow = next(pair for pair in pairs if pair[1].kind == residual.kind)
    if shallow.depth == residual.depth:
        return f"{text}."
    return f"{text}; at {shallow.depth} layers, it is {_mean(shallow_plain)} and {_mean(shallow)}."


def _extremes(results: Results) -> str:
    low, *_, high = sorted(
        [*results.networks, results.networks[0]], key=lambda network: network.errors["test_error"].mean
    )
    if low is high:
        return f"The mean test error of {low.name} is {_error(low)}."
    return f"The lowest mean test error is {_error(low)} ({low.name}), the highest {_error(high)} ({high.name})."


def _error(network: NetworkResult) -> str:
    sample = network.errors["test_error"]
    return estimate(sample.mean, sample.percent_interval, "%")


def _mean(network: NetworkResult) -> str:
    return f"{network.errors['test_error'].mean:.2f}%"
