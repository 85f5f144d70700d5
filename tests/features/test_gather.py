"""Do records become columns without loss, in an order that depends on what they say alone?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from agreed import NOW, agreed
from hypothesis import given
from hypothesis import strategies as st
from oracles.naive_features import known_facts
from strategies import FAR, LEADS, histories

from features.facts import Answer, Event, LeadVersion, Record, StageChange, attributes_text, key_of
from features.frames import Category
from features.gather import FactsBuilder

AGREED = agreed()
VISIT = Event(lead="ada", kind="visit", occurred_at=NOW, recorded_at=NOW)


@given(histories())
def test_every_fact_is_there_once_under_its_lead(history: list[Record]) -> None:
    facts = FactsBuilder.of_records(AGREED, history).build()
    for lead in LEADS:
        expected = known_facts(history, lead, FAR * 2)
        at = facts.lead_ids.index(lead) if lead in facts.lead_ids else -1
        for sort, table in (
            (LeadVersion, facts.versions),
            (Answer, facts.answers),
            (Event, facts.events),
            (StageChange, facts.stages),
        ):
            mine = [fact for fact in expected if isinstance(fact, sort)]
            times = sorted((fact.occurred_at, fact.recorded_at) for fact in mine)
            found = table.lead == at
            stored = zip(table.occurred_at[found], table.recorded_at[found], strict=True)
            assert sorted((int(a), int(b)) for a, b in stored) == times


def test_leads_come_in_the_order_of_their_first_mention() -> None:
    given_records = [replace(VISIT, lead=lead) for lead in ("cy", "ada", "cy", "bo")]
    assert FactsBuilder.of_records(AGREED, given_records).lead_ids == ("cy", "ada", "bo")


def test_codes_are_positions_in_the_definition() -> None:
    records: list[Record] = [
        replace(VISIT, kind="webinar", channel="phone"),
        replace(VISIT, kind="visit", channel=None),
        Answer(lead="ada", question="role", answer="unknown", occurred_at=NOW, recorded_at=NOW),
        StageChange(lead="ada", stage="lost", occurred_at=NOW, recorded_at=NOW),
        LeadVersion(lead="ada", kind="client", occurred_at=NOW, recorded_at=NOW),
    ]
    facts = FactsBuilder.of_records(AGREED, records).build()
    assert sorted(zip(facts.events.code, facts.events.detail, strict=True)) == [(0, -1), (1, 2)]
    assert (facts.answers.code.tolist(), facts.answers.detail.tolist()) == ([1], [3])
    assert facts.stages.code.tolist() == [4]
    assert facts.versions.code.tolist() == [1]


def test_labels_that_the_definition_does_not_know_do_not_count() -> None:
    records: list[Record] = [
        replace(VISIT, kind="dance"),
        Answer(lead="ada", question="role", answer="Sings", occurred_at=NOW, recorded_at=NOW),
        Answer(lead="ada", question="age", answer="Uses", occurred_at=NOW, recorded_at=NOW),
        StageChange(lead="ada", stage="asleep", occurred_at=NOW, recorded_at=NOW),
    ]
    facts = FactsBuilder.of_records(AGREED, records).build()
    assert [len(t) for t in (facts.events, facts.answers, facts.stages)] == [0, 0, 0]
    assert facts.lead_ids == ("ada",)


def test_an_event_through_an_unknown_channel_counts_without_one() -> None:
    facts = FactsBuilder.of_records(AGREED, [replace(VISIT, channel="fax")]).build()
    assert facts.events.detail.tolist() == [-1]


def test_values_of_every_type_become_columns() -> None:
    said = {
        "city": "Köln",
        "employees": 5,
        "newsletter": True,
        "founded": float(NOW),
        "industry": "Farming, which the definition no longer lists",
        "growth": "text from when growth was a category",
        "unheard_of": 1.0,
    }
    version = LeadVersion(lead="ada", occurred_at=NOW, recorded_at=NOW, attributes=said)
    columns = FactsBuilder.of_records(AGREED, [version]).build().attributes
    assert sorted(columns) == sorted(attribute.name for attribute in AGREED.attributes)
    plain = {
        name: column.labels()[0] if isinstance(column, Category) else float(column[0])
        for name, column in columns.items()
    }
    assert plain["city"] == "Köln"
    assert plain["industry"] == said["industry"]
    assert (plain["employees"], plain["newsletter"], plain["founded"]) == (5.0, 1.0, float(NOW))
    assert math.isnan(float(str(plain["growth"])))
    assert plain["channel"] is None


def test_of_versions_at_one_instant_the_same_one_counts_in_either_order() -> None:
    one, other = (
        LeadVersion(lead="ada", occurred_at=NOW, recorded_at=NOW, attributes={"employees": n})
        for n in (1.0, 2.0)
    )
    found = [
        FactsBuilder.of_records(AGREED, records).build().attributes["employees"]
        for records in ([one, other], [other, one])
    ]
    np.testing.assert_array_equal(np.asarray(found[0]), np.asarray(found[1]))


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({}, 1),
        ({"recorded_at": NOW + 1}, 1),
        ({"occurred_at": NOW - 1}, 2),
        ({"channel": "web"}, 2),
        ({"kind": "webinar"}, 2),
        ({"source": "crm"}, 2),
        ({"external_id": "e1"}, 2),
        ({"external_id": ""}, 1),
    ],
)
def test_a_record_is_another_fact_when_its_id_or_what_it_says_differs(
    change: dict[str, str | int], facts: int
) -> None:
    records = [VISIT, replace(VISIT, **change)]  # type: ignore[arg-type]
    assert len(FactsBuilder.of_records(AGREED, records).build().events) == facts
    assert len({key_of(record) for record in records}) == facts


def test_of_two_records_with_one_id_the_first_counts() -> None:
    first = replace(VISIT, external_id="e1")
    second = replace(first, kind="webinar")
    facts = FactsBuilder.of_records(AGREED, [first, second]).build()
    assert facts.events.code.tolist() == [0]


_VALUES = st.none() | st.booleans() | st.text(max_size=3) | st.integers(-3, 3) | st.floats(-3, 3)


@given(st.dictionaries(st.text(max_size=2), _VALUES, max_size=4), st.randoms(use_true_random=False))
def test_the_text_of_attributes_does_not_depend_on_their_order_or_on_unanswered_ones(
    attributes: dict[str, str | float | bool | None], random: st.random.Random
) -> None:
    names = random.sample(list(attributes), len(attributes))
    shuffled = {name: attributes[name] for name in names if attributes[name] is not None}
    assert attributes_text(shuffled) == attributes_text(attributes)
