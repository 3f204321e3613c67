"""The claim about ensembles: one statistic decides, and members that failed are left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from resgrid.reporting.claims import judge
from resgrid.reporting.results import Results
from resgrid.reporting.verdicts import Verdict
from support.synthetic import Maker


def ensemble_verdict(maker: Maker, members: list[float], error: float) -> Verdict:
    return judge(Results(()), [maker.ensemble(members, error), maker.ensemble(members, error, "plain32")])[-1]


def test_an_ensemble_must_beat_its_best_member() -> None:
    assert ensemble_verdict(Maker(0), [10, 11, 12], 5).answer == "reproduced"
    assert ensemble_verdict(Maker(0), [10, 30, 30], 10).answer == "inconclusive"
    assert ensemble_verdict(Maker(0), [10, 11, 12], 20).answer == "contradicted"


def wrong_images(*parts: tuple[int, bool]) -> np.ndarray:
    """Consecutive test images, by count and whether they are wrong."""
    return np.concatenate([np.full(count, wrong) for count, wrong in parts])


def test_one_statistic_decides_on_ensembles() -> None:
    """One of two ensembles is right on 130 images more, both are wrong on 70 more: by mean, they are not better."""
    maker = Maker(0)
    member = wrong_images((130, True), (1870, False))
    ensembles = [
        replace(maker.ensemble([10, 10], 10, name), wrong=wrong, members_wrong=np.array([member, member]))
        for name, wrong in (
            ("plain20", wrong_images((130, False), (1800, False), (70, True))),
            ("plain32", wrong_images((130, True), (1800, False), (70, True))),
        )
    ]
    verdict = judge(Results(()), ensembles)[-1]
    assert verdict.evidence[-1].value == pytest.approx((70 * 100 - 130 * 50) / 2000)
    assert verdict.answer == "inconclusive"


def test_an_ensemble_with_a_failed_member_shows_nothing() -> None:
    maker = Maker(0)
    good, failed = maker.ensemble([10, 11], 10), maker.ensemble([90, 90], 20, "plain56")
    stuck = tuple(replace(each, train=each.train.model_copy(update={"train_error": 90.0})) for each in failed.members)
    failed = replace(failed, members=stuck)
    verdict = judge(Results(()), [good, failed])[-1]
    assert verdict.answer == "inconclusive"
    assert verdict.sentence.endswith("Left out, with a member whose network did not converge: plain56.")
    assert not any("plain56" in cell for row in verdict.evidence for cell in row.cells)
    assert judge(Results(()), [failed])[-1].answer == "not converged"


def test_an_ensemble_like_its_members_is_rarely_judged() -> None:
    maker = Maker(1)
    counts = Counter(ensemble_verdict(maker, [10, 10, 10], 10).answer for _ in range(200))
    assert counts["reproduced"] + counts["contradicted"] <= stats.binom.isf(0.001, 200, 0.05)


def test_the_ensemble_s_numbers() -> None:
    ensemble = Maker(2).ensemble([10, 12], 8)
    verdict = judge(Results(()), [ensemble])[-1]
    level, average, best = verdict.evidence
    assert level.text == f"{ensemble.error:.2f}%"
    assert average.value == pytest.approx(ensemble.error - np.mean(ensemble.member_errors))
    assert best.value == pytest.approx(ensemble.error - ensemble.member_errors[0])
    own, member = ensemble.wrong.astype(float), ensemble.members_wrong[0].astype(float)
    assert best.p == pytest.approx(float(tuple(stats.ttest_rel(own, member))[1]))
    assert best.cells == ("plain20-0", "plain20-1")
