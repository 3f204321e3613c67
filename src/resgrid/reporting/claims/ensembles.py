"""Claims about ensembles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from resgrid.reporting.claims.claim import Finding, not_tested
from resgrid.reporting.claims.groups import ComparisonGroup
from resgrid.reporting.ensembles import Ensemble
from resgrid.reporting.formatting import estimate
from resgrid.reporting.statistics import ALPHA, Difference, Sample, paired_difference
from resgrid.reporting.verdicts import Answer, Evidence


def ensembles_win(group: ComparisonGroup) -> list[Finding]:
    """An ensemble beats its members.

    A set of runs has one ensemble, so the inference is over test images, not seeds; several ensembles are averaged
    image by image. Reproduced if they beat the best member of each, which is itself test-selected, by the exact sign
    test over the images where the two differ (McNemar's, for one ensemble). Contradicted if they are worse than the
    average member, by Student's t over the images.
    """
    ensembles = group.ensembles
    if not ensembles:
        return not_tested("a network with two seeds, or a set under report.ensembles")
    best = _sign_test(np.mean([ensemble.against_best for ensemble in ensembles], axis=0))
    against_average = np.mean([ensemble.against_average for ensemble in ensembles], axis=0)
    average = paired_difference(Sample(tuple(against_average.tolist())))
    answer = _answer(best, average)
    return [Finding(answer, _sentence(answer, ensembles, best, average), _evidence(ensembles, best, average))]


def _answer(best: Difference, average: Difference) -> Answer:
    if best.mean < 0 and (best.p or 0) < ALPHA:
        return "reproduced"
    return "contradicted" if average.mean > 0 and (average.p or 0) < ALPHA else "inconclusive"


def _sentence(answer: Answer, ensembles: Sequence[Ensemble], best: Difference, average: Difference) -> str:
    subject = f"{len(ensembles)} ensembles, on average," if len(ensembles) > 1 else f"the ensemble {ensembles[0].name}"
    sentence = f"The test error of {subject} differs from that of the best member by "
    sentence += f"{estimate(best.mean, best.interval, 'points')}, "
    sentence += f"and from that of the average member by {estimate(average.mean, average.interval, 'points')}"
    return sentence + ("; this is not significant." if answer == "inconclusive" else ".")


def _evidence(ensembles: Sequence[Ensemble], best: Difference, average: Difference) -> list[Evidence]:
    members = {ensemble.name: tuple(member.cell.name for member in ensemble.members) for ensemble in ensembles}
    cells = tuple(dict.fromkeys(cell for names in members.values() for cell in names))
    levels = [
        Evidence(f"{each.name}, ensemble of {len(each.members)}", each.error, None, "%", None, members[each.name])
        for each in ensembles
    ]
    return [
        *levels,
        Evidence("average member → ensemble, test error", average.mean, average.interval, "points", average.p, cells),
        Evidence("best member → ensemble, test error", best.mean, best.interval, "points", best.p, cells),
    ]


def _sign_test(differences: NDArray[np.float64]) -> Difference:
    """Compare by image, in points: exact if a difference is equally likely up or down under the null hypothesis."""
    lower, higher = int((differences < 0).sum()), int((differences > 0).sum())
    p = float(stats.binomtest(lower, lower + higher).pvalue) if lower + higher else 1.0
    sample = Sample(tuple(differences.tolist()))
    return Difference(sample.mean, sample.interval, p)
