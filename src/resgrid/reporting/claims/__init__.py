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
from resgrid.reporting.claims import depth, ensembles, gradients, residual, responses, shortcuts, speed
from resgrid.reporting.claims.claim import Claim, Finding
from resgrid.reporting.claims.groups import ComparisonGroup, comparison_groups, level, train_error
from resgrid.reporting.convergence import describe_problem, has_converged
from resgrid.reporting.ensembles import Ensemble
from resgrid.reporting.results import NetworkResult, Results
from resgrid.reporting.verdicts import Verdict, elsewhere

# When the rules were chosen. The results are those in docs/results.
_EARLY = "22 November 2026, an hour after the first results, on digits"
_LAST = "25 November 2026, after results on digits, Fashion-MNIST and CIFAR-10 (JPEG)"

_FALLS = (
    "The {} error of the deepest residual network of at most 110 layers is compared with that of each shallower one. "
    "The claim holds if it is lower than that of the shallowest and higher than none, and fails if it is higher than "
    "one."
)

# In the paper's order.
CLAIMS = (
    Claim(
        "degradation",
        "Deeper plain networks have a higher training error",
        "section 1, Fig. 1; section 4.2, Fig. 6",
        depth.degradation,
        "The training error of the deepest plain network is compared with that of each shallower one. The claim holds "
        "if it is higher than at least one, and fails if it is lower than all.",
        _EARLY,
    ),
    Claim(
        "not-overfitting",
        "Degradation is not overfitting",
        "section 1, Fig. 1",
        depth.not_overfitting,
        "The same networks. The claim holds if the test error rises, and the training error by more than the gap "
        "between them, and fails if the test error rises, and the gap by more than the training error.",
        _LAST,
    ),
    Claim(
        "gradients",
        "Gradients of plain networks have healthy norms",
        "section 4.1, plain networks",
        gradients.healthy_gradients,
        "The gradient norm of each layer of a plain network is compared with that of the same layer in its residual "
        "counterpart, at each recorded step. The claim holds if each confidence interval of the ratio lies within the "
        "margin, and fails if a ratio lies significantly outside.",
        _LAST,
        gradients.HEALTHY_GRADIENT,
    ),
    Claim(
        "shortcuts-help",
        "A deep residual network has a lower test error than its plain counterpart",
        "section 4.1, Table 2 (34 layers); section 4.2, Fig. 6",
        shortcuts.shortcuts_help,
        "Beyond 20 layers, the test errors of residual networks are compared with those of their plain counterparts. "
        "The claim holds if they are lower with every option, and fails if they are higher with one.",
        _LAST,
    ),
    Claim(
        "shallow-equivalent",
        "A shallow plain network and its residual counterpart have equivalent test errors",
        "section 4.1, Table 2 and Fig. 4 (18 layers)",
        shortcuts.shallow_equivalent,
        "The test errors are compared at the depth nearest to 18, of at most 20. The claim holds if the confidence "
        "interval of their difference lies within the margin, and fails if the difference lies significantly outside.",
        _LAST,
        shortcuts.SHALLOW_MARGIN,
    ),
    Claim(
        "shallow-faster",
        "A shallow residual network converges faster than its plain counterpart",
        "section 4.1, Fig. 4 (18 layers)",
        speed.shallow_faster,
        "The steps to a validation error that every run of the same two networks reaches early are compared. The "
        "claim holds if the residual network takes fewer, and fails if it takes more.",
        _LAST,
    ),
    Claim(
        "options-equivalent",
        "Shortcut options A, B and C differ little",
        "section 4.1, Table 3",
        shortcuts.options_equivalent,
        "The test errors with each two options are compared at each depth. The claim holds if each confidence "
        "interval lies within the margin, and fails if a difference lies significantly outside.",
        _LAST,
        shortcuts.OPTIONS_MARGIN,
    ),
    Claim(
        "options-order",
        "Option B beats A, and C beats B",
        "section 4.1, Table 3",
        shortcuts.options_order,
        "The test errors with A and B, and with B and C, are averaged over the depths that have both. The claim holds "
        "if each step lowers the error, and fails if a step, or A to C, raises it.",
        _EARLY,
    ),
    Claim(
        "residual-training",
        "Deeper residual networks have a lower training error",
        "section 4.1, Fig. 4 (34 layers); section 4.2, Fig. 6",
        residual.residual_training,
        _FALLS.format("training"),
        _LAST,
    ),
    Claim(
        "residual-depth",
        "Deeper residual networks have a lower test error",
        "section 4.1, Table 2; section 4.2, Table 6",
        residual.residual_depth,
        _FALLS.format("test"),
        _LAST,
    ),
    Claim(
        "residual-optimum",
        "Beyond 110 layers, the test error of residual networks rises",
        "section 4.2, Table 6 (1202 layers)",
        residual.residual_optimum,
        "The test error of the deepest residual network of more than 110 layers is compared with that of the deepest "
        "of at most 110. The claim holds if it is higher, and fails if it is lower.",
        _LAST,
    ),
    Claim(
        "responses-smaller",
        "Residual networks have smaller responses than plain ones",
        "section 4.2, Fig. 7",
        responses.smaller_responses,
        "The mean responses over the layers are compared with those of the plain counterparts. The claim holds if "
        "they are smaller for every pair, and fails if they are larger for one.",
        _EARLY,
    ),
    Claim(
        "responses-depth",
        "Deeper residual networks have smaller responses",
        "section 4.2, Fig. 7",
        responses.responses_by_depth,
        "The mean responses over the layers of the deepest and the shallowest residual network are compared. The "
        "claim holds if the deepest has smaller ones with every option, and fails if larger ones with one.",
        _EARLY,
    ),
    Claim(
        "ensemble",
        "An ensemble beats its members",
        "section 4.1, Table 5",
        ensembles.ensembles_win,
        "The test errors of the ensembles are compared with those of their best members by validation error, over the "
        "test images. The claim holds if they are lower on average, and fails if they are higher.",
        _LAST,
    ),
)


# Modifiers of the paper's own networks: none for CIFAR-10.
_IN_THE_PAPER = ("", "imagenet")


def judge(results: Results, ensembles: Sequence[Ensemble] = (), direct: bool = True) -> list[Verdict]:
    """Judge every claim, in the paper's order, for the paper's own networks and then for those with a modifier.

    Networks of other families are outside the paper's claims.

    Args:
        ensembles: from `read_ensembles`; without them the claim about ensembles is not tested.
        direct: whether data, recipe and split are the paper's. If they aren't, or the paper doesn't have the networks,
            a claim `holds here` or `fails here` instead of being reproduced or contradicted.
    """
    first, *others = comparison_groups(results, ensembles)
    verdicts = _judge_group(first, direct)
    for group in others:
        verdicts += [verdict for verdict in _judge_group(group, direct) if verdict.answer != "not tested"]
    return verdicts


def _judge_group(group: ComparisonGroup, direct: bool) -> list[Verdict]:
    failed = {network.name: network for network in group.networks if not has_converged(network)}
    converged = group.only({network.name for network in group.networks} - failed.keys())
    return [
        _verdict(claim, finding, group.modifier, direct and group.modifier in _IN_THE_PAPER)
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


def _verdict(claim: Claim, finding: Finding, modifier: str, direct: bool) -> Verdict:
    scope = ", ".join(filter(None, [finding.subject, modifier]))
    margin = claim.margin
    return Verdict(
        key="-".join(filter(None, [claim.key, finding.subject.replace(" ", "-"), modifier])),
        claim=claim.key,
        modifier=modifier,
        title=f"{claim.title} ({scope})" if scope else claim.title,
        source=claim.source,
        answer=finding.answer if direct else elsewhere(finding.answer),
        sentence=finding.sentence,
        evidence=tuple(finding.evidence),
        rule=claim.decision,
        margin=f"{margin.text}: {margin.source}",
        chosen=claim.chosen,
    )
