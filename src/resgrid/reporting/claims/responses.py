"""Claims about layer responses."""

from __future__ import annotations

from resgrid.reporting.claims.claim import Finding, not_tested
from resgrid.reporting.claims.groups import ComparisonGroup
from resgrid.reporting.contrasts import Comparisons, compare_ratio
from resgrid.reporting.results import CellResult, NetworkResult


def smaller_responses(group: ComparisonGroup) -> list[Finding]:
    """Residual networks have smaller responses than their plain counterparts.

    Compares the mean over the layers of the responses' standard deviation. Reproduced if every residual network's is
    smaller; contradicted if one's is larger.
    """
    pairs = [(plain, residual) for _, plain, residual in group.pairs if _have_responses(plain, residual)]
    if not pairs:
        return not_tested("a plain and a residual network of one depth with responses.csv")
    return [_smaller(pairs)]


def responses_by_depth(group: ComparisonGroup) -> list[Finding]:
    """Deeper residual networks have smaller responses.

    Compares the deepest with the shallowest, for each option. Reproduced if every option's deepest has the smaller one.
    """
    analyzed = [
        [network for network in group.residual[option].values() if _have_responses(network)]
        for option in sorted(group.residual)
    ]
    ends = [(networks[0], networks[-1]) for networks in analyzed if len(networks) > 1]
    if not ends:
        return not_tested("residual networks of two depths with one shortcut option and responses.csv")
    return [_smaller(ends)]


def _have_responses(*networks: NetworkResult) -> bool:
    return all("responses" in cell.tables for network in networks for cell in network.cells)


def _smaller(pairs: list[tuple[NetworkResult, NetworkResult]]) -> Finding:
    tests = Comparisons.adjusted(compare_ratio(*pair, _mean_response, "mean response") for pair in pairs)
    answer, decisive = tests.judge("down")
    return Finding(answer, tests.describe(answer, decisive, "mean response"), tests.evidence)


def _mean_response(cell: CellResult) -> float:
    return float(cell.tables["responses"]["std"].mean())
