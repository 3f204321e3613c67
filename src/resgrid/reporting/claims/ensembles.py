"""Claims about ensembles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from resgrid.reporting.claims.claim import Finding, not_tested
from resgrid.reporting.claims.groups import ComparisonGroup
from resgrid.reporting.convergence import have_converged
from resgrid.reporting.ensembles import Ensemble
from resgrid.reporting.formatting import estimate, listed
from resgrid.reporting.statistics import ALPHA, Difference, Sample, paired_difference
from resgrid.reporting.verdicts import Answer, Evidence


def ensembles_win(group: ComparisonGroup) -> list[Finding]:
    """An ensemble beats its members.

    An ensemble is compared with its member of the lowest validation error. A set of runs has one ensemble, so the
    inference is over test images, not seeds: Student's t on the differences by image, averaged over the ensembles.
    Reproduced if the ensembles have the lower test error; contradicted if they have the higher one. Ensembles with a
    member whose network did not converge are left out, since beating a failed member shows nothing.
    """
    if not group.ensembles:
        return not_tested("a network with two seeds, or a set under report.ensembles")
    failed = [each for each in group.ensembles if not have_converged(each.members)]
    ensembles = [each for each in group.ensembles if each not in failed]
    names = listed([each.name for each in failed])
    if not ensembles:
        return [Finding("not converged", f"Every ensemble has a member whose network did not converge: {names}.")]
    best = _difference([each.against_best for each in ensembles])
    average = _difference([each.against_average for each in ensembles])
    answer = _answer(best)
    sentence = _sentence(answer, ensembles, best, average)
    if failed:
        sentence += f" Left out, with a member whose network did not converge: {names}."
    return [Finding(answer, sentence, _evidence(ensembles, best, average))]


def _difference(by_image: Sequence[NDArray[np.float64]]) -> Difference:
    """Average over the ensembles and compare over the images, in points."""
    return paired_difference(Sample(tuple(np.mean(by_image, axis=0).tolist())))


def _answer(best: Difference) -> Answer:
    if best.p is None or best.p >= ALPHA:
        return "inconclusive"
    return "reproduced" if best.mean < 0 else "contradicted"


def _sentence(answer: Answer, ensembles: Sequence[Ensemble], best: Difference, average: Difference) -> str:
    subject = f"{len(ensembles)} ensembles, on average," if len(ensembles) > 1 else f"the ensemble {ensembles[0].name}"
    sentence = f"The test error of {subject} differs from that of the best member by validation by "
    sentence += f"{estimate(best.mean, best.interval, 'points')}, "
    sentence += f"and from that of the average member by {estimate(average.mean, average.interval, 'points')}"
    return sentence + ("; the first is not significant." if answer == "inconclusive" else ".")


def _evidence(ensembles: Sequence[Ensemble], best: Difference, average: Difference) -> list[Evidence]:
    members = {ensemble.name: tuple(member.cell.name for member in ensemble.members) for ensemble in ensembles}
    cells = tuple(dict.fromkeys(cell for names in members.values() for cell in names))
    levels = [
        Evidence(f"{each.name}, ensemble of {len(each.members)}", each.error, None, "%", None, members[each.name])
        for each in ensembles
    ]
    against_best = "best member by validation → ensemble, test error"
    return [
        *levels,
        Evidence("average member → ensemble, test error", average.mean, average.interval, "points", average.p, cells),
        Evidence(against_best, best.mean, best.interval, "points", best.p, cells),
    ]
