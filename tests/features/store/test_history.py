"""Does what comes back from a store give the same features as what went in?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from unittest.mock import ANY

import numpy as np
import pytest
from agreed import NOW, agreed
from bits import Bits, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from stores import undone
from strategies import FAR, LEADS, histories, instants

from features.clock import DAY
from features.definition import parse_definition
from features.facts import Answer, Event, Facts, LeadVersion, Queries, Record, StageChange
from features.gather import FactsBuilder
from features.lifecycle import is_open
from features.pipeline import compute_features
from features.store.engine import Store
from features.store.history import (
    Profile,
    count_leads,
    iter_facts,
    iter_open,
    latest_version,
    load_facts,
    newest_fact,
    profiles,
    timeline,
)
from features.store.ingest import ingest, set_do_not_score

AGREED = agreed()
ADA = LeadVersion(lead="ada", occurred_at=NOW - 9, recorded_at=NOW - 9)


def _version(lead: str, at: int = NOW - 9, **said: object) -> LeadVersion:
    return replace(ADA, lead=lead, occurred_at=at, recorded_at=at, **said)  # type: ignore[arg-type]


def _fill(store: Store, *records: Record) -> None:
    with store.write() as connection:
        assert not ingest(connection, records, AGREED, FAR).problems


def _features(facts: Facts, as_of: int) -> dict[str, tuple[dict[str, Bits], bool]]:
    """Every feature of each lead as bits, and whether the lead is open."""
    everyone = Queries.at(np.arange(len(facts.lead_ids)), as_of)
    found = rows(compute_features(facts, everyone, AGREED))
    still_open = is_open(facts, everyone, AGREED).tolist()
    return dict(zip(facts.lead_ids, zip(found, still_open, strict=True), strict=True))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(histories(), instants())
def test_features_from_the_store_equal_those_of_the_records_to_the_last_bit(
    store: Store, history: list[Record], as_of: int
) -> None:
    opening = [_version(lead, NOW - 500 * DAY) for lead in LEADS]
    records = [*opening, *history]
    in_memory = _features(FactsBuilder.of_records(AGREED, records).build(), as_of)
    with undone(store) as connection:
        assert not ingest(connection, records, AGREED, FAR).problems
        for found in (
            _features(load_facts(connection, AGREED, LEADS, as_of), as_of),
            _features(load_facts(connection, AGREED, LEADS[::-1], FAR), as_of),
            _in_portions(connection, as_of),
        ):
            assert found == in_memory


def _in_portions(connection: Connection, as_of: int) -> dict[str, tuple[dict[str, Bits], bool]]:
    found: dict[str, tuple[dict[str, Bits], bool]] = {}
    for facts in iter_facts(connection, AGREED, as_of, portion=2):
        found |= _features(facts, as_of)
    return found


def test_facts_recorded_at_or_after_the_instant_are_not_read(store: Store) -> None:
    visit = Event(lead="ada", kind="visit", occurred_at=NOW - 5, recorded_at=NOW - 2)
    _fill(store, ADA, visit)
    with store.read() as connection:
        assert len(load_facts(connection, AGREED, ["ada"], NOW - 2).events) == 0
        assert len(load_facts(connection, AGREED, ["ada"], NOW - 1).events) == 1


def test_leads_that_are_not_there_are_there_without_facts(store: Store) -> None:
    _fill(store, ADA)
    wanted = ["nobody", "ada", "a\0b", "\ud800"]
    with store.read() as connection:
        facts = load_facts(connection, AGREED, wanted, NOW)
    assert facts.lead_ids == tuple(wanted)
    assert facts.versions.lead.tolist() == [1]


def test_a_lead_asked_for_twice_is_an_error_rather_than_a_lead_without_facts(
    sqlite_store: Store,
) -> None:
    _fill(sqlite_store, ADA)
    with sqlite_store.read() as connection, pytest.raises(AssertionError, match="named twice"):
        load_facts(connection, AGREED, ["ada", "ada"], NOW)


@pytest.mark.parametrize("step", [1, 2, 7, 100])
def test_leads_near_and_far_apart_are_read_alike(store: Store, step: int) -> None:
    names = [f"lead {i:04}" for i in range(400)]
    _fill(
        store,
        *(_version(lead, attributes={"employees": float(i)}) for i, lead in enumerate(names)),
    )
    wanted = names[::step]
    with store.read() as connection:
        facts = load_facts(connection, AGREED, wanted, NOW)
    by_lead = dict(zip(facts.versions.lead.tolist(), facts.attributes["employees"], strict=True))
    assert [by_lead[i] for i in range(len(wanted))] == [float(i) for i in range(0, 400, step)]


def test_portions_hold_every_lead_once_in_the_order_they_came_in(store: Store) -> None:
    names = [f"lead {i}" for i in range(7)]
    for name in names[::-1]:
        _fill(store, _version(name))
    with store.read() as connection:
        found = [facts.lead_ids for facts in iter_facts(connection, AGREED, NOW, portion=3)]
    assert [len(part) for part in found] == [3, 3, 1]
    assert [lead for part in found for lead in part] == names[::-1]


def test_an_empty_store_has_no_portions_and_no_newest_fact(store: Store) -> None:
    with store.read() as connection:
        assert list(iter_facts(connection, AGREED, NOW)) == []
        assert list(iter_open(connection, AGREED, NOW)) == []
        assert newest_fact(connection) is None
        assert count_leads(connection) == 0


def test_open_leads_are_those_known_and_not_closed(store: Store) -> None:
    _fill(
        store,
        *(_version(lead) for lead in ("ada", "bo", "cy")),
        _version("dee", at=NOW),
        StageChange(lead="bo", stage="lost", occurred_at=NOW - 2, recorded_at=NOW - 2),
        StageChange(lead="cy", stage="parked", occurred_at=NOW - 3, recorded_at=NOW - 3),
        StageChange(lead="cy", stage="new", occurred_at=NOW - 2, recorded_at=NOW - 2),
    )
    assert _open_leads(store, NOW) == ["ada", "cy"]
    assert _open_leads(store, NOW - 2) == ["ada", "bo"]
    assert _open_leads(store, NOW + 1) == ["ada", "cy", "dee"]


def _open_leads(store: Store, as_of: int) -> list[str]:
    with store.read() as connection:
        return [
            facts.lead_ids[lead]
            for facts, queries in iter_open(connection, AGREED, as_of)
            for lead in queries.lead.tolist()
            if set(queries.as_of.tolist()) == {as_of}
        ]


def test_leads_that_object_are_neither_counted_nor_asked_about(store: Store) -> None:
    _fill(store, _version("ada"), _version("bo"))
    with store.write() as connection:
        set_do_not_score(connection, "ada", True)
    with store.read() as connection:
        assert count_leads(connection) == 1
        assert [facts.lead_ids for facts in iter_facts(connection, AGREED, NOW)] == [("bo",)]
        assert profiles(connection, ["ada"])["ada"].do_not_score
    assert _open_leads(store, NOW) == ["bo"]


@pytest.mark.parametrize(
    "newest",
    [
        _version("ada", at=NOW - 1),
        Answer(
            lead="ada", question="role", answer="Uses", occurred_at=NOW - 8, recorded_at=NOW - 1
        ),
        Event(lead="ada", kind="visit", occurred_at=NOW - 8, recorded_at=NOW - 1),
        StageChange(lead="ada", stage="new", occurred_at=NOW - 8, recorded_at=NOW - 1),
    ],
)
def test_the_newest_fact_is_the_one_recorded_last_whatever_its_sort(
    store: Store, newest: Record
) -> None:
    _fill(store, ADA, newest)
    with store.read() as connection:
        assert newest_fact(connection) == NOW - 1


def test_profiles_describe_leads_as_last_described(store: Store) -> None:
    _fill(
        store,
        _version("ada", NOW - 9, name="Ada", owner="rep"),
        _version("ada", NOW - 3, name="Ada L.", owner="boss", kind="client"),
        _version("ada", NOW - 5, name="A.", owner=None),
        _version("bo"),
    )
    with store.read() as connection:
        assert profiles(connection, ["ada", "bo", "nobody", "a\0b"]) == {
            "ada": Profile("ada", "Ada L.", "boss", "client", False),
            "bo": Profile("bo", None, None, "prospect", False),
        }


def test_the_latest_version_is_the_one_that_profiles_and_features_speak_of(store: Store) -> None:
    said = {"city": "Köln", "employees": 7.0, "newsletter": True}
    _fill(store, _version("ada", NOW - 3, attributes=said, external_id="v2"), _version("ada"))
    with store.read() as connection:
        assert latest_version(connection, "ada") == _version(
            "ada", NOW - 3, attributes=said, external_id="v2"
        )
        assert latest_version(connection, "nobody") is None
        assert latest_version(connection, "a\0b") is None


def test_a_timeline_tells_what_happened_newest_first(store: Store) -> None:
    _fill(
        store,
        _version("ada", NOW - 9, attributes={"city": "Köln"}),
        Answer(
            lead="ada", question="role", answer="Uses", occurred_at=NOW - 7, recorded_at=NOW - 7
        ),
        Event(lead="ada", kind="visit", channel="web", occurred_at=NOW - 8, recorded_at=NOW - 1),
        StageChange(lead="ada", stage="new", occurred_at=NOW - 6, recorded_at=NOW - 6),
        _version("bo"),
    )
    with store.read() as connection:
        told = timeline(connection, "ada", NOW)
        assert [(fact["sort"], fact["occurred_at"]) for fact in told] == [
            ("stage", NOW - 6),
            ("answer", NOW - 7),
            ("event", NOW - 8),
            ("version", NOW - 9),
        ]
        assert told[2] | {"id": 0} == {
            "sort": "event",
            "of": None,
            "id": 0,
            "lead": ANY,
            "occurred_at": NOW - 8,
            "recorded_at": NOW - 1,
            "kind": "visit",
            "channel": "web",
            "source": "api",
            "external_id": ANY,
            "content": ANY,
        }
        assert json.loads(told[3]["attributes"]) == {"city": "Köln"}
        known_then = [fact["sort"] for fact in timeline(connection, "ada", NOW - 6)]
        assert known_then == ["answer", "version"]
        assert timeline(connection, "nobody", NOW) == timeline(connection, "a\0b", NOW) == []


def test_facts_stored_under_an_older_definition_are_read_by_the_newer_one(store: Store) -> None:
    """A category has become a number, an answer, a kind and a stage are gone: none of it counts."""
    _fill(
        store,
        _version("ada", attributes={"city": "Köln", "employees": 5.0}),
        Answer(
            lead="ada", question="role", answer="Uses", occurred_at=NOW - 5, recorded_at=NOW - 5
        ),
        Answer(
            lead="ada", question="pain", answer="Some", occurred_at=NOW - 5, recorded_at=NOW - 5
        ),
        Event(lead="ada", kind="visit", occurred_at=NOW - 5, recorded_at=NOW - 5),
        StageChange(lead="ada", stage="parked", occurred_at=NOW - 5, recorded_at=NOW - 5),
    )
    newer = parse_definition(
        "{name: newer, attributes: [{name: city, type: number}, {name: employees, type: number}],"
        " bant: {authority: [{name: role, answers: [Decides, Advises]}]},"
        " engagement: {kinds: [webinar]}}"
    )
    with store.read() as connection:
        facts = load_facts(connection, newer, ["ada"], NOW)
    row = compute_features(facts, Queries.at([0], NOW), newer).row(0)
    expected: Sequence[tuple[str, object]] = [
        ("attr_city", None),
        ("attr_employees", 5.0),
        ("bant_role", None),
        ("ev_any_ever", 0.0),
    ]
    assert [(name, row[name]) for name, _ in expected] == expected
    assert is_open(facts, Queries.at([0], NOW), newer).tolist() == [True]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_all_their_bits_in_the_store(store: Store, number: float) -> None:
    with undone(store) as connection:
        ingest(connection, [_version("ada", attributes={"growth": number})], AGREED, NOW)
        found = load_facts(connection, AGREED, ["ada"], NOW).attributes["growth"]
        assert isinstance(found, np.ndarray)
        assert found.tobytes() == np.array([number]).tobytes()
