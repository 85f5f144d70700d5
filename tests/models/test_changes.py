"""What moved a score adds up to the difference, fact by fact, and says what was known then and now."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from agreed import NOW, agreed
from models_made import LEADS, company, made_model

from features.clock import DAY
from features.facts import Answer, Queries
from features.frames import FeatureFrame
from features.gather import FactsBuilder
from features.pipeline import compute_features
from models.changes import changes
from models.explain import explain

DEFINITION = agreed()
MODEL = made_model().model


def two_rows(lead: int, then: int, now: int = NOW) -> FeatureFrame:
    facts = FactsBuilder.of_records(DEFINITION, company()).build()
    return compute_features(facts, Queries.at([lead, lead], np.array([then, now])), DEFINITION)


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("days_ago", [1, 30, 200])
def test_changes_add_up_to_the_difference_of_the_raw_scores(weight: float, days_ago: int) -> None:
    model = replace(MODEL, learner=replace(MODEL.learner, weight=weight))
    moved = 0
    for lead in range(0, LEADS, 17):
        frame = two_rows(lead, NOW - days_ago * DAY)
        then, now = model.raw(frame)
        found = changes(model, frame)
        assert sum(change.log_odds for change in found) == pytest.approx(now - then, abs=1e-9)
        sizes = [abs(change.log_odds) for change in found]
        assert sizes == sorted(sizes, reverse=True)
        assert all(sizes)
        moved += bool(found)
    assert moved > 5


def test_each_change_is_the_difference_of_a_facts_two_reasons() -> None:
    frame = two_rows(7, NOW - 100 * DAY)
    before, after = explain(MODEL, frame)
    for change in changes(MODEL, frame):
        then = [reason for reason in before.reasons if reason.fact == change.fact]
        now = [reason for reason in after.reasons if reason.fact == change.fact]
        expected = sum(r.log_odds for r in now) - sum(r.log_odds for r in then)
        assert change.log_odds == pytest.approx(expected, abs=1e-12)
        assert change.then == (then[0].words if then else "")
        assert change.now == (now[0].words if now else "")
        assert change.label == [*now, *then][0].label


def test_between_an_instant_and_itself_nothing_has_changed() -> None:
    assert changes(MODEL, two_rows(7, NOW)) == []


def test_an_answer_given_since_is_among_the_changes_in_words() -> None:
    given = Answer(
        lead="L-0007",
        question="budget_allocated",
        answer="Yes",
        occurred_at=NOW - DAY,
        recorded_at=NOW - DAY,
    )
    mine = [fact for fact in company() if fact.lead == "L-0007" and not isinstance(fact, Answer)]
    facts = FactsBuilder.of_records(DEFINITION, [*mine, given]).build()
    queries = Queries.at([0, 0], np.array([NOW - 2 * DAY, NOW]))
    found = {c.fact: c for c in changes(MODEL, compute_features(facts, queries, DEFINITION))}
    change = found["bant:budget_allocated"]
    assert change.log_odds > 0
    assert "Yes" in change.now
    assert "not asked" in change.then or change.then == ""
