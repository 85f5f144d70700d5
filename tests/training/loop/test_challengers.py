"""Is a shadow judged by what it said beside what was shown, as both would order and tell leads?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from page_company import promote_model
from watched_company import FIRST, Watched, model, show, watched

from features.clock import DAY, HOUR
from features.definition import parse_definition
from features.store.outcomes import Deal
from features.store.shadows import pairs
from models.log_odds import sigmoid
from training.discrimination import auc_difference
from training.loop.challengers import SHADOWS, shadow_verdict
from training.loop.logged import WEEK
from training.verdicts import Verdict

N = 400
RNG = np.random.default_rng(3)
TRUE = RNG.normal(-1.0, 1.2, N)
# Drawn evenly, so that as many win as the truth says.
WON = RNG.permutation((np.arange(N) + 0.5) / N) < sigmoid(TRUE)
BLURRED = TRUE + RNG.normal(0, 1.2, N)
AT = FIRST * WEEK + (np.arange(N) % (5 * 24)) * HOUR + DAY
NAMES = [f"P{i:03d}" for i in range(N)]
NOW = int(AT.max()) + 120 * DAY


@pytest.fixture
def company(tmp_path: Path, migrated_sqlite: Path) -> Watched:
    """A champion that is somewhat wrong of each lead, and outcomes as the truth has them."""
    made = watched(tmp_path, migrated_sqlite, weeks=0, close=False)
    show(made.workspace, NAMES, AT, BLURRED, made.digest, channel="queue")
    made.close(
        [
            Deal(lead=name, ending="won" if won else "lost", occurred_at=at, recorded_at=at)
            for name, won, at in zip(NAMES, WON.tolist(), (AT + 30 * DAY).tolist(), strict=True)
        ]
    )
    made.close([Deal(lead="P000", ending="lost", occurred_at=NOW - 1, recorded_at=NOW - 1)])
    return made


def shadow(company: Watched, raw: np.ndarray, horizon: int = 90) -> str:
    """Another model that has said this of the same leads at the same instants; its digest."""
    text = model().definition.to_yaml().replace("horizon_days: 90", f"horizon_days: {horizon}")
    about = {**model().about, "name": "the challenger"}
    made = replace(model(), about=about, definition=parse_definition(text))
    digest = promote_model(company.workspace, made)
    show(company.workspace, NAMES, AT, raw, digest, channel="shadow")
    return digest


def verdict_on(company: Watched, digest: str) -> Verdict | None:
    return shadow_verdict(company.workspace, digest, company.digest, now=NOW, seed=0)


def test_a_better_shadow_is_promoted_and_its_order_and_segments_are_asked_about(
    company: Watched,
) -> None:
    verdict = verdict_on(company, shadow(company, TRUE))
    assert verdict is not None
    assert verdict.decision == "promote", verdict.reason
    assert verdict.evidence["rows_from"] == SHADOWS
    gap = auc_difference(TRUE, BLURRED, WON.astype(int))
    assert verdict.evidence["auc_difference"] == pytest.approx(gap.estimate)
    assert verdict.evidence["segments_judged"] >= 3, "by the inputs of what was shown"


def test_a_shadow_that_collapses_in_a_segment_is_held_back(company: Watched) -> None:
    """`show` deals the three industries out in turn."""
    third = np.arange(N) % 3 == 0
    sharp, blunt = np.where(WON, 3.0, -3.0), np.where(WON, -1.6, -0.4)
    verdict = verdict_on(company, shadow(company, np.where(third, blunt, sharp)))
    assert verdict is not None
    assert verdict.decision == "undecided"
    assert "it is worse where Industry is Retail" in verdict.reason


def test_a_shadow_of_another_promise_is_not_judged_by_these_outcomes(company: Watched) -> None:
    assert verdict_on(company, shadow(company, TRUE, horizon=60)) is None


def test_of_scores_given_twice_the_first_counts_and_another_boosters_do_not(
    company: Watched,
) -> None:
    digest = shadow(company, TRUE)
    show(company.workspace, NAMES, AT, TRUE + 1.0, digest, channel="shadow")
    show(company.workspace, NAMES, AT, BLURRED + 1.0, company.digest, channel="queue")
    show(company.workspace, NAMES, AT, TRUE - 1.0, digest, channel="queue")
    with company.workspace.store.read() as connection:
        found = pairs(connection, digest, company.digest, NOW)
    order = np.array([NAMES.index(lead) for lead in found.leads])
    assert len(order) == N
    assert found.raw_challenger == pytest.approx(TRUE[order])
    assert found.raw_champion == pytest.approx(BLURRED[order])
    assert found.champion == pytest.approx(sigmoid(BLURRED[order]))
