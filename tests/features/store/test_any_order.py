"""Do facts and outcomes of all sorts leave the same state, in whatever order and portions they come?"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from agreed import NOW, agreed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection
from stores import state, undone

from features.clock import DAY, HOUR
from features.facts import Answer, Event, LeadVersion, Record, StageChange, key_of
from features.store.engine import Store
from features.store.ingest import ingest
from features.store.outcomes import ENDINGS, Deal, Ending
from features.store.recording import record_deals, record_facts

AGREED = agreed()
LEADS = ("ada", "bo")
OPENING = [
    LeadVersion(lead=lead, occurred_at=NOW - 99 * DAY, recorded_at=NOW - 99 * DAY) for lead in LEADS
]
AGES = st.sampled_from([n * HOUR for n in range(1, 7)])

Thing = Record | Deal


@st.composite
def things(draw: st.DrawFn) -> Thing:
    """A fact or a deal of one of two leads, at few instants, so that they tie and cross."""
    lead, recorded = draw(st.sampled_from(LEADS)), NOW - draw(AGES)
    times = {
        "occurred_at": recorded - draw(st.sampled_from([0, HOUR, DAY])),
        "recorded_at": recorded,
    }
    match draw(st.sampled_from(["version", "answer", "event", "stage", "stage", "deal", "deal"])):
        case "version":
            return LeadVersion(lead=lead, owner=draw(st.sampled_from(["anna", "ben"])), **times)
        case "answer":
            return Answer(lead=lead, question="pain", answer="Some", **times)
        case "event":
            return Event(lead=lead, kind="visit", **times)
        case "stage":
            stage = draw(st.sampled_from(["new", "qualified", "parked", "won"]))
            return StageChange(lead=lead, stage=stage, **times)
        case _:
            ending = draw(st.sampled_from(ENDINGS))
            id_ = draw(st.sampled_from(["d1", "d2", None]))
            return Deal(lead=lead, ending=ending, external_id=id_, **times)


def write(connection: Connection, portion: Sequence[Thing]) -> None:
    """As the API writes: each sort by its own function."""
    facts = [thing for thing in portion if not isinstance(thing, Deal)]
    closed = [thing for thing in portion if isinstance(thing, Deal)]
    assert not record_facts(connection, facts, AGREED, NOW).problems
    assert not record_deals(connection, closed, AGREED, NOW).problems


def digest(store: Store, portions: Sequence[Sequence[Thing]]) -> str:
    """A hash of all that is in the store after these portions."""
    with undone(store) as connection:
        ingest(connection, OPENING, AGREED, NOW)
        for portion in portions:
            write(connection, portion)
        left = state(connection)
    return hashlib.sha256(repr(left).encode()).hexdigest()


def distinct(given_: Sequence[Thing]) -> list[Thing]:
    """Of facts without ids that differ in their recording alone, one: the first to come is kept."""
    return list({one if isinstance(one, Deal) else key_of(one): one for one in given_}.values())


def check(store: Store, given_: list[Thing], data: st.DataObject) -> None:
    whole = distinct(given_)
    shuffled = data.draw(st.permutations([*whole, *whole[:3]]), label="order")
    cut = data.draw(st.integers(0, len(shuffled)), label="cut")
    together = digest(store, [whole])
    assert digest(store, [shuffled[:cut], shuffled[cut:]]) == together
    assert digest(store, [[thing] for thing in shuffled]) == together


@given(st.lists(things(), max_size=9), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_any_order_any_portions_and_duplicates_leave_the_same_state(
    sqlite_store: Store, given_: list[Thing], data: st.DataObject
) -> None:
    check(sqlite_store, given_, data)


@pytest.mark.slow
@given(st.lists(things(), max_size=12), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=250)
def test_the_same_on_both_databases_at_length(
    store: Store, given_: list[Thing], data: st.DataObject
) -> None:
    check(store, given_, data)


@pytest.mark.parametrize(
    "order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1), (1, 0, 2), (2, 0, 1)]
)
def test_won_then_lost_then_won_ends_won_in_any_order(store: Store, order: tuple[int, ...]) -> None:
    said = [
        Deal(lead="ada", ending=ending, occurred_at=at, recorded_at=at, external_id="d1")
        for ending, at in (("won", NOW - 3 * DAY), ("lost", NOW - 2 * DAY), ("won", NOW - DAY))
    ]
    in_turn = digest(store, [[deal] for deal in said])
    assert digest(store, [[said[i]] for i in order]) == in_turn


def test_that_a_lead_was_worked_between_two_deals_may_be_told_after_them(store: Store) -> None:
    """Annulling the second deal reopens the lead, because it was worked after the first."""

    def deal(id_: str, ending: Ending, days_ago: int) -> Deal:
        at = NOW - days_ago * DAY
        return Deal(lead="ada", ending=ending, occurred_at=at, recorded_at=at, external_id=id_)

    at = NOW - 5 * DAY
    worked = StageChange(lead="ada", stage="qualified", occurred_at=at, recorded_at=at)
    closed = [deal("d1", "won", 9), deal("d2", "won", 3), deal("d2", "void", 1)]
    assert digest(store, [closed, [worked]]) == digest(store, [[worked], closed])
    assert digest(store, [closed]) != digest(store, [closed, [worked]])
