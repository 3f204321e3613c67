"""The paper's claims: the table of rules, and the verdicts that they give.

A rule is a function in one of this package's modules. It takes a comparison group and returns its findings. Comparisons
are paired by seed, two-sided at 5%. Several comparisons of one claim are adjusted by Holm's method, so each claim has a
family-wise error rate of at most 5%; nothing is adjusted across claims, which are separate questions. Confidence
intervals are 95% each and not adjusted. Equivalence is shown by an interval within a margin, never by a lack of
significance. A verdict needs networks whose every seed converged. docs/evidence.md explains every rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from resgrid.cells import parse_cell
from resgrid.reporting.claims import depth, ensembles, gradients, responses, shortcuts, speed
from resgrid.reporting.claims.claim import Claim, Finding
from resgrid.reporting.claims.groups import ComparisonGroup, comparison_groups, level, train_error
from resgrid.reporting.convergence import describe_problem, has_converged
from resgrid.reporting.ensembles import Ensemble
from resgrid.reporting.results import NetworkResult, Results
from resgrid.reporting.verdicts import Verdict

# In the paper's order.
CLAIMS = (
    Claim(
        "degradation",
        "Deeper plain networks have a higher training error",
        "section 1, Fig. 1; section 4.2, Fig. 6",
        depth.degradation,
    ),
    Claim("not-overfitting", "Degradation is not overfitting", "section 1, Fig. 1", depth.not_overfitting),
    Claim(
        "gradients",
        "Gradients of plain networks have healthy norms",
        "section 4.1, plain networks",
        gradients.healthy_gradients,
    ),
    Claim(
        "shortcuts-help",
        "A deep residual network has a lower test error than its plain counterpart",
        "section 4.1, Table 2 (34 layers); section 4.2, Fig. 6",
        shortcuts.shortcuts_help,
    ),
    Claim(
        "shallow-equivalent",
        "A shallow plain network and its residual counterpart have equivalent test errors",
        "section 4.1, Table 2 and Fig. 4 (18 layers)",
        shortcuts.shallow_equivalent,
    ),
    Claim(
        "shallow-faster",
        "A shallow residual network converges faster than its plain counterpart",
        "section 4.1, Fig. 4 (18 layers)",
        speed.shallow_faster,
    ),
    Claim(
        "options-equivalent",
        "Shortcut options A, B and C differ little",
        "section 4.1, Table 3",
        shortcuts.options_equivalent,
    ),
    Claim("options-order", "Option B beats A, and C beats B", "section 4.1, Table 3", shortcuts.options_order),
    Claim(
        "residual-depth",
        "Deeper residual networks have a lower test error",
        "section 4.1, Table 2; section 4.2, Table 6",
        depth.residual_depth,
    ),
    Claim(
        "responses-smaller",
        "Residual networks have smaller responses than plain ones",
        "section 4.2, Fig. 7",
        responses.smaller_responses,
    ),
    Claim(
        "responses-depth",
        "Deeper residual networks have smaller responses",
        "section 4.2, Fig. 7",
        responses.responses_by_depth,
    ),
    Claim("ensemble", "An ensemble beats its members", "section 4.1, Table 5", ensembles.ensembles_win),
)


def judge(results: Results, ensembles: Sequence[Ensemble] = ()) -> list[Verdict]:
    """Judge every claim, in the paper's order, for the paper's own networks and then for those with a modifier.

    Networks of other families are outside the paper's claims.

    Args:
        ensembles: from `read_ensembles`; without them the claim about ensembles is not tested.
    """
    first, *others = comparison_groups(results, ensembles)
    verdicts = _judge_group(first)
    for group in others:
        verdicts += [verdict for verdict in _judge_group(group) if verdict.answer != "not tested"]
    return verdicts


def _judge_group(group: ComparisonGroup) -> list[Verdict]:
    failed = {network.name: network for network in group.networks if not has_converged(network)}
    converged = group.only({network.name for network in group.networks} - failed.keys())
    return [
        _verdict(claim, finding, group.modifier)
        for claim in CLAIMS
        for finding in _findings(claim, group, converged, failed)
    ]


def _findings(
    claim: Claim, group: ComparisonGroup, converged: ComparisonGroup, failed: Mapping[str, NetworkResult]
) -> list[Finding]:
    """Return the findings on the networks that converged, and those that networks which failed to converge prevent."""
    if not failed:
        return claim.rule(group)
    valid = {finding.subject: finding for finding in claim.rule(converged)}
    findings: list[Finding] = []
    for finding in claim.rule(group):
        needed = {parse_cell(cell).network for row in finding.evidence for cell in row.cells}
        missing = [network for name, network in failed.items() if name in needed]
        found = valid.get(finding.subject)
        if found is None or (found.answer == "not tested" and finding.answer != "not tested"):
            findings.append(_not_converged(finding.subject, missing))
        elif missing:
            findings.append(replace(found, sentence=f"{found.sentence} Not converged, left out: {_problems(missing)}."))
        else:
            findings.append(found)
    return findings


def _not_converged(subject: str, networks: Sequence[NetworkResult]) -> Finding:
    evidence = [level(network, train_error, "training error") for network in networks]
    return Finding("not converged", f"Not converged: {_problems(networks)}.", evidence, subject)


def _problems(networks: Iterable[NetworkResult]) -> str:
    return ", ".join(describe_problem(network) for network in networks)


def _verdict(claim: Claim, finding: Finding, modifier: str) -> Verdict:
    key = "-".join(filter(None, [claim.key, finding.subject.replace(" ", "-"), modifier]))
    scope = ", ".join(filter(None, [finding.subject, modifier]))
    title = f"{claim.title} ({scope})" if scope else claim.title
    return Verdict(key, title, claim.source, finding.answer, finding.sentence, tuple(finding.evidence))
