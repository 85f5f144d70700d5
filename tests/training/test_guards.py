"""A model that is better on the whole is held back where it spoils the order, the level or a segment."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from features.frames import Category
from training.discrimination import auc, auc_difference
from training.guards import AsShown, Pair, objections
from training.verdicts import Verdict, compare, stands_at

N = 4_000
RNG = np.random.default_rng(5)
TRUE = RNG.normal(-1.2, 1.2, N)
Y = (RNG.random(N) < expit(TRUE)).astype(np.int64)
LEAD = np.arange(N)
TEAM = Category(np.repeat([0, 1, 2], [2_400, 1_200, 400]).astype(np.int64), ("A", "B", "C"))
NOISY = expit(TRUE + RNG.normal(0, 0.8, N))


def naive_auc(said: np.ndarray, won: np.ndarray) -> float:
    pairs = [(a > b) + (a == b) / 2 for a in said[won == 1] for b in said[won == 0]]
    return float(np.mean(pairs))


def test_the_difference_of_two_areas_and_its_error_are_delongs_in_plain_loops() -> None:
    y, a, b = Y[:150], expit(TRUE)[:150], NOISY[:150]
    shares = []
    for said in (a, b):
        won, lost = said[y == 1], said[y == 0]
        of_won = [np.mean([(x > z) + (x == z) / 2 for z in lost]) for x in won]
        of_lost = [np.mean([(z < x) + (x == z) / 2 for x in won]) for z in lost]
        shares.append((np.array(of_won), np.array(of_lost)))
    gaps = [shares[0][i] - shares[1][i] for i in (0, 1)]
    error = np.sqrt(sum(gap.var() / len(gap) for gap in gaps))
    found = auc_difference(a, b, y)
    assert found.estimate == pytest.approx(naive_auc(a, y) - naive_auc(b, y))
    # Ours counts n / (n − 1) leads; DeLong divides each class by its own n − 1: the same to 1 %.
    assert found.upper - found.estimate == pytest.approx(norm.ppf(0.975) * error, rel=0.02)


def test_rows_of_one_lead_are_one_piece_of_evidence() -> None:
    twice = [np.repeat(one, 2) for one in (expit(TRUE), NOISY, Y, LEAD)]
    once = auc_difference(expit(TRUE), NOISY, Y, groups=LEAD)
    found = auc_difference(*twice[:3], groups=twice[3])
    assert found.estimate == pytest.approx(once.estimate)
    assert found.upper == pytest.approx(once.upper)


def test_what_is_better_everywhere_meets_no_objection() -> None:
    verdict = compare(expit(TRUE), NOISY, Y, LEAD, 0, segments={"Team": TEAM})
    assert verdict.decision == "promote"
    assert verdict.evidence["segments_judged"] == 3
    assert verdict.evidence["segments_worse"] == ""
    assert verdict.evidence["auc_difference_lower"] > 0


def test_a_better_level_does_not_pay_for_a_worse_order() -> None:
    champion = expit(TRUE - 1.5)
    challenger = expit(0.75 * (TRUE + RNG.normal(0, 0.5, N)) - 0.2)
    assert auc(challenger, Y) < auc(champion, Y)
    verdict = compare(challenger, champion, Y, LEAD, 0)
    assert verdict.decision == "undecided"
    assert "its order is worse" in verdict.reason
    assert verdict.evidence["difference"] < 0, "its log loss is lower, all the same"


def test_a_better_order_does_not_pay_for_a_worse_level() -> None:
    champion = np.where(RNG.random(N) < 0.5, NOISY, Y.mean())
    verdict = compare(expit(TRUE - 0.35), champion, Y, LEAD, 0)
    assert verdict.decision == "undecided"
    assert "its level is off" in verdict.reason


def test_the_level_is_that_of_the_probabilities_leads_are_told_on_rows_new_to_both() -> None:
    """What is compared is fitted to the same months: its level is right whatever will be told."""
    told = expit(TRUE - 0.35)
    for new, judged in ((LEAD >= 0, True), (LEAD < 15, False)):
        shown = AsShown(TRUE, NOISY, told, NOISY, new)
        verdict = compare(expit(TRUE), NOISY, Y, LEAD, 0, shown=shown)
        assert verdict.evidence["level_judged"] is judged
        assert ("its level is off" in verdict.reason) is judged
        assert verdict.decision == ("undecided" if judged else "promote")


def test_the_order_is_that_of_the_raw_scores() -> None:
    """A calibration for each fold orders leads within a fold alone."""
    worse = TRUE + RNG.normal(0, 1.5, N)
    shown = AsShown(worse, np.log(NOISY / (1 - NOISY)), expit(TRUE), NOISY, LEAD >= 0)
    verdict = compare(expit(TRUE), NOISY, Y, LEAD, 0, shown=shown)
    assert verdict.evidence["difference"] < 0
    assert "its order is worse" in verdict.reason
    expected = auc(worse, Y) - auc(NOISY, Y)
    assert verdict.evidence["auc_difference"] == pytest.approx(expected)


def test_a_large_segment_does_not_pay_for_a_small_one_that_collapses() -> None:
    challenger = np.where(TEAM.codes == 2, expit(-1.2 - 0.5 * (TRUE + 1.2)), expit(TRUE))
    verdict = compare(challenger, NOISY, Y, LEAD, 0, segments={"Team": TEAM})
    assert verdict.evidence["segments_worse"] == "Team is C"
    assert verdict.decision == "undecided"
    assert "it is worse where Team is C" in verdict.reason


def test_a_segment_of_few_outcomes_is_not_judged() -> None:
    few = Category(np.where(LEAD < 20, 0, 1).astype(np.int64), ("few", "many"))
    pair = Pair(expit(TRUE), NOISY, Y, LEAD, segments={"Size": few})
    assert objections(pair).figures["segments_judged"] == 1


@pytest.mark.slow
def test_where_nothing_is_spoiled_an_objection_is_rare() -> None:
    """Three questions of 95 %, one-sided in what they object to: below 7.5 %; 12 of 60 has 1 in 600."""
    raised = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        raw = rng.normal(-1.2, 1.2, 1_500)
        y = (rng.random(1_500) < expit(raw)).astype(np.int64)
        said = [expit(raw + rng.normal(0, 0.3, 1_500)) for _ in range(2)]
        team = {"Team": Category(rng.integers(0, 3, 1_500), ("A", "B", "C"))}
        raised += bool(objections(Pair(*said, y, np.arange(1_500), segments=team, seed=seed)).words)
    assert raised < 12


def test_a_second_look_needs_more_than_a_first() -> None:
    evidence = {"difference": -0.0100, "standard_error": 0.0045}
    verdict = Verdict("promote", "better", evidence)
    assert stands_at(verdict, 0.95), "2.2 standard errors"
    assert not stands_at(verdict, 0.99)
    assert not stands_at(Verdict("keep", "worse", evidence), 0.95)
