"""A supposed answer makes the features that the same answer, recorded, would have made: bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from agreed import NOW, agreed
from models_made import LEADS, company, lead_id

from features.clock import DAY
from features.facts import Answer, Facts, Queries, Record
from features.frames import Category, FeatureFrame
from features.gather import FactsBuilder
from features.pipeline import compute_features
from features.suppose import suppose

DEFINITION = agreed()
EVERY_ANSWER = [
    (i, j) for i, question in enumerate(DEFINITION.questions) for j in range(len(question.levels))
]


def all_facts() -> Facts:
    return FactsBuilder.of_records(DEFINITION, company()).build()


def about(lead: str) -> list[Record]:
    return [fact for fact in company() if fact.lead == lead]


def assert_same_bits(one: FeatureFrame, at: int, other: FeatureFrame) -> None:
    """One row of a frame against a frame of one row."""
    assert set(one.columns) == set(other.columns)
    for name, column in one.columns.items():
        expected = other.columns[name]
        if isinstance(column, Category):
            assert isinstance(expected, Category)
            assert column.labels()[at] == expected.labels()[0], name
        else:
            assert column[at : at + 1].tobytes() == np.asarray(expected).tobytes(), name


@pytest.mark.parametrize("i", [0, 1, 17, 100, LEADS - 1])
@pytest.mark.parametrize("as_of", [NOW, NOW - 40 * DAY])
def test_features_equal_those_of_the_lead_with_the_answer_recorded(i: int, as_of: int) -> None:
    facts, lead = all_facts(), lead_id(i)
    position = facts.lead_ids.index(lead)
    supposed = compute_features(*suppose(facts, position, as_of, EVERY_ANSWER), DEFINITION)
    assert len(supposed) == len(EVERY_ANSWER) + 1
    for at, (which, level) in enumerate(EVERY_ANSWER, start=1):
        question = DEFINITION.questions[which]
        given = Answer(
            lead=lead,
            question=question.name,
            answer=question.levels[level],
            occurred_at=as_of - 1,
            recorded_at=as_of - 1,
        )
        known = FactsBuilder.of_records(DEFINITION, [*about(lead), given]).build()
        assert_same_bits(supposed, at, compute_features(known, Queries.at([0], as_of), DEFINITION))


def test_the_first_copy_is_the_lead_as_it_is() -> None:
    facts = all_facts()
    whole = compute_features(facts, Queries.at(np.arange(LEADS), NOW), DEFINITION)
    for i in range(0, LEADS, 31):
        supposed = compute_features(*suppose(facts, i, NOW, [(0, 0)]), DEFINITION)
        assert_same_bits(supposed, 0, whole.take(np.array([i])))
        alone = compute_features(*suppose(facts, i, NOW, []), DEFINITION)
        assert len(alone) == 1
        assert_same_bits(alone, 0, whole.take(np.array([i])))


def test_no_other_leads_facts_come_along_and_nothing_is_written_to_what_is_known() -> None:
    facts = all_facts()
    before = facts.answers.lead.tobytes(), facts.answers.detail.tobytes(), len(facts.lead_ids)
    supposed, queries = suppose(facts, 3, NOW, [(0, 0), (1, 1)])
    assert supposed.lead_ids == (lead_id(3),) * 3
    assert len(queries) == 3
    mine = int((facts.answers.lead == 3).sum())
    assert len(supposed.answers) == 3 * mine + 2
    assert len(supposed.events) == 3 * int((facts.events.lead == 3).sum())
    assert (facts.answers.lead.tobytes(), facts.answers.detail.tobytes(), len(facts.lead_ids)) == (
        before
    )


def test_a_lead_that_said_nothing_yet_can_be_supposed_to_answer() -> None:
    facts = FactsBuilder(DEFINITION, ["silent"]).build()
    frame = compute_features(*suppose(facts, 0, NOW, [(0, 0)]), DEFINITION)
    budget = frame.columns["bant_budget_allocated"]
    assert isinstance(budget, Category)
    assert budget.labels() == [None, "Yes"]
