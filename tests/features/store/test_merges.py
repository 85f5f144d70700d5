"""Do two leads that became one follow one rule, whatever the order, and leave the past as it was?"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

import numpy as np
import pytest
from agreed import NOW, agreed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text
from stores import state, undone

from features.clock import DAY
from features.errors import NotFoundError
from features.facts import Event, LeadVersion, Queries, Record
from features.lifecycle import is_open
from features.pipeline import compute_features
from features.store.engine import Store
from features.store.erasure import erase
from features.store.history import load_facts, timeline
from features.store.ingest import ingest
from features.store.merges import (
    Merge,
    Merged,
    Numbering,
    known_families,
    known_merges,
    record_merges,
)
from features.store.outcomes import Deal, load_outcomes
from features.store.recording import record_deals, record_merged
from serving.timeline_view import happenings

AGREED = agreed()
TIMES = ("occurred_at", "recorded_at")
LEADS = ("ada", "bo", "cy")
OPENED = NOW - 90 * DAY


def told(connection: Connection, things: Sequence[Record | Deal | Merge]) -> None:
    """Each as the API would write it, one at a time."""
    opened = [LeadVersion(lead=lead, occurred_at=OPENED, recorded_at=OPENED) for lead in LEADS]
    ingest(connection, opened, AGREED, NOW)
    for thing in things:
        if isinstance(thing, Deal):
            report = record_deals(connection, [thing], AGREED, NOW)
        elif isinstance(thing, Merge):
            report = record_merged(connection, [thing], AGREED, NOW)
        else:
            report = ingest(connection, [thing], AGREED, NOW)
        assert not report.problems, report.problems


def visit(lead: str, days_ago: float, recorded: float | None = None) -> Event:
    late = days_ago if recorded is None else recorded
    return Event(
        lead=lead,
        kind="visit",
        occurred_at=NOW - round(days_ago * DAY),
        recorded_at=NOW - round(late * DAY),
    )


def won(lead: str, days_ago: int, **more: object) -> Deal:
    at = NOW - days_ago * DAY
    return Deal(
        lead=lead,
        ending="won",
        occurred_at=at,
        recorded_at=at,
        amount=100.0,
        external_id=f"d{days_ago}",
        **more,  # type: ignore[arg-type]
    )


def merge(lead: str, survivor: str, days_ago: int) -> Merge:
    return Merge(lead=lead, survivor=survivor, recorded_at=NOW - days_ago * DAY)


def split(lead: str, days_ago: int) -> Merge:
    return Merge(lead=lead, survivor=None, recorded_at=NOW - days_ago * DAY)


def features(connection: Connection, as_of: int) -> list[dict[str, object]]:
    facts = load_facts(connection, AGREED, LEADS, as_of)
    return list(compute_features(facts, Queries.at(np.arange(3), as_of), AGREED).rows())


def open_at(connection: Connection, as_of: int) -> list[bool]:
    facts = load_facts(connection, AGREED, LEADS, as_of)
    return is_open(facts, Queries.at(np.arange(3), as_of), AGREED).tolist()


def test_what_a_merged_lead_did_is_the_survivors_from_the_merge_on(store: Store) -> None:
    with undone(store) as connection:
        told(connection, [visit("ada", 20), visit("ada", 3), merge("ada", "bo", 10)])
        before, after = features(connection, NOW - 10 * DAY), features(connection, NOW)
        assert [row["ev_visit_726h"] for row in before] == [1, 0, 0]
        assert [row["ev_visit_726h"] for row in after] == [1, 2, 0]
        assert open_at(connection, NOW - 10 * DAY) == [True, True, True]
        assert open_at(connection, NOW) == [False, True, True]


def test_a_merge_changes_no_feature_of_an_instant_before_it_was_recorded(store: Store) -> None:
    things = [visit("ada", 20), visit("bo", 15), visit("ada", 12, recorded=4), won("cy", 11)]
    instants = [NOW - n * DAY for n in (30, 14, 11, 10)]
    with undone(store) as connection:
        told(connection, things)
        past = [(features(connection, at), open_at(connection, at)) for at in instants]
        told(connection, [merge("ada", "bo", 10), merge("cy", "ada", 9)])
        assert [(features(connection, at), open_at(connection, at)) for at in instants] == past
        assert features(connection, NOW) != past[-1][0]


def test_a_deal_of_a_merged_lead_closes_the_survivor_and_is_its_revenue_once(store: Store) -> None:
    with undone(store) as connection:
        told(connection, [merge("ada", "bo", 10), won("ada", 5)])
        assert open_at(connection, NOW) == [False, False, True]
        found = load_outcomes(connection, LEADS, NOW)
        assert found.lead.tolist() == [0, 1]
        assert np.nansum(found.amount) == 100.0
        assert np.isnan(found.amount[0])
        assert load_outcomes(connection, LEADS, NOW - 5 * DAY).lead.tolist() == []


def test_a_deal_from_before_the_merge_is_the_survivors_only_once_the_merge_is_known(
    store: Store,
) -> None:
    with undone(store) as connection:
        told(connection, [won("ada", 20), merge("ada", "bo", 10)])
        known = load_outcomes(connection, LEADS, NOW)
        assert known.recorded_at.tolist() == [NOW - 20 * DAY, NOW - 10 * DAY]
        assert load_outcomes(connection, LEADS, NOW - 10 * DAY).lead.tolist() == [0]


def test_a_merge_that_is_told_after_the_deal_closes_the_survivor_as_if_told_before(
    store: Store,
) -> None:
    things: list[Deal | Merge] = [merge("ada", "bo", 10), won("ada", 5), won("bo", 7)]
    left = []
    for order in permutations(things):
        with undone(store) as connection:
            told(connection, order)
            left.append((state(connection), open_at(connection, NOW)))
    assert all(one == left[0] for one in left)


@given(
    st.lists(
        st.one_of(
            st.builds(
                merge,
                st.sampled_from(LEADS),
                st.sampled_from(LEADS),
                st.integers(1, 6),
            ).filter(lambda one: one.lead != one.survivor),
            st.builds(split, st.sampled_from(LEADS), st.integers(1, 6)),
            st.builds(won, st.sampled_from(LEADS), st.integers(1, 6)),
            st.builds(visit, st.sampled_from(LEADS), st.integers(1, 6)),
        ),
        max_size=6,
    ),
    st.data(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_facts_deals_and_merges_in_any_order_leave_the_same_state(
    sqlite_store: Store, things: list[Event | Deal | Merge], data: st.DataObject
) -> None:
    def left(order: Sequence[Event | Deal | Merge]) -> object:
        with undone(sqlite_store) as connection:
            told(connection, order)
            deals = load_outcomes(connection, LEADS, NOW)
            columns = (deals.lead, deals.recorded_at, deals.ending, np.nan_to_num(deals.amount))
            return (
                state(connection),
                features(connection, NOW),
                [column.tolist() for column in columns],
            )

    assert repr(left(data.draw(st.permutations(things)))) == repr(left(things))


def test_a_merge_that_is_taken_back_leaves_what_there_would_be_without_it(store: Store) -> None:
    """In whatever order it is told: features, who is open, whose deals are whose."""
    things = [visit("ada", 20), visit("ada", 3), won("ada", 5)]
    with undone(store) as connection:
        told(connection, things)
        without = (features(connection, NOW), open_at(connection, NOW))
        deals = load_outcomes(connection, LEADS, NOW).lead.tolist()
    mistake = [merge("ada", "bo", 10), split("ada", 2)]
    for order in ([*things, *mistake], [*mistake, *things], [*reversed(mistake), *things]):
        with undone(store) as connection:
            told(connection, order)
            assert (features(connection, NOW), open_at(connection, NOW)) == without
            assert load_outcomes(connection, LEADS, NOW).lead.tolist() == deals
            # Before it was taken back they were one.
            assert load_outcomes(connection, LEADS, NOW - 3 * DAY).lead.tolist() == [0, 1]
            assert known_families(connection, NOW).last_survivors() == {}
            assert known_families(connection, NOW).last_survivors(NOW - 3 * DAY) == {"ada": "bo"}


def test_the_timeline_marks_what_was_told_of_a_lead_that_became_part_of_it(store: Store) -> None:
    with undone(store) as connection:
        told(
            connection, [visit("ada", 20), visit("bo", 15), visit("ada", 3), merge("ada", "bo", 10)]
        )

        def visits(before: int) -> list[tuple[int, int, str | None]]:
            facts = [f for f in timeline(connection, "bo", before) if f["sort"] == "event"]
            days = [[(NOW - f[name]) // DAY for name in TIMES] for f in facts]
            return [(*pair, f["of"]) for pair, f in zip(days, facts, strict=True)]

        assert visits(NOW - 10 * DAY) == [(15, 15, None)]
        assert visits(NOW) == [(3, 3, "ada"), (15, 15, None), (20, 10, "ada")]
        sorts = [fact["sort"] for fact in timeline(connection, "bo", NOW)]
        assert sorts.count("version") == 1, "how it stands is said of the survivor alone"
        marked = happenings(AGREED, timeline(connection, "bo", NOW), 1, NOW)
    assert [one.detail for one in marked][:2] == ["told of ada, which is one with this lead", ""]


def test_a_lead_that_was_taken_apart_may_be_merged_again(store: Store) -> None:
    things = [merge("ada", "bo", 10), split("ada", 6), merge("ada", "cy", 4), split("bo", 1)]
    for order in (things, things[::-1]):
        with undone(store) as connection:
            told(connection, order)
            assert known_families(connection, None).last_survivors() == {"ada": "cy"}


def test_a_split_is_told_twice_and_written_once(store: Store) -> None:
    with undone(store) as connection:
        told(connection, [merge("ada", "bo", 1)])
        again = [Merge(lead="ada", survivor=None, recorded_at=NOW)]
        assert record_merges(connection, again, NOW).added == 1
        assert record_merges(connection, again, NOW + 0).unchanged == 1
        assert known_merges(connection, None).into == {}


def test_a_ring_is_broken_where_it_closes_and_a_second_merge_of_a_lead_is_nothing(
    store: Store,
) -> None:
    with undone(store) as connection:
        told(connection, [merge("cy", "ada", 7), merge("ada", "bo", 9), merge("bo", "cy", 6)])
        told(connection, [merge("ada", "cy", 5)])
        assert open_at(connection, NOW) == [False, True, False]


def test_a_chain_is_one_since_its_last_link() -> None:
    merged = Merged({1: (2, 50), 2: (3, 30)})
    assert merged.survivors(1) == {1: -(2**63), 2: 50, 3: 50}
    assert merged.one_since(2, 3) == 30
    assert merged.one_since(1, 4) is None
    assert merged.family([2]) == {1, 2, 3}
    assert [merged.holder(1, at) for at in (49, 50)] == [1, 3]


def test_leads_that_became_one_share_a_number_and_were_two_until_that_was_known(
    store: Store,
) -> None:
    with undone(store) as connection:
        told(connection, [merge("ada", "bo", 10), merge("bo", "cy", 5)])
        families = known_families(connection, NOW)
        assert known_families(connection, NOW - 10 * DAY).last_survivors() == {}
    assert families.last_survivors() == {"ada": "cy", "bo": "cy"}
    assert families.last_survivors(NOW - 5 * DAY) == {"ada": "bo"}
    portions = [["x", "bo"], ["ada", "y"], ["z", "cy"]]
    numbering = Numbering(families)
    assert [numbering.of(portion).tolist() for portion in portions] == [[0, 1], [1, 3], [4, 1]]


def test_a_merge_is_told_twice_and_written_once_and_a_stranger_is_named(store: Store) -> None:
    with undone(store) as connection:
        told(connection, [])
        again = [Merge(lead="ada", survivor="bo", recorded_at=NOW)]
        assert record_merges(connection, again, NOW).added == 1
        assert record_merges(connection, again, NOW).unchanged == 1
        wrong = [Merge(lead="ada", survivor="zoe", recorded_at=NOW), merge("bo", "bo", 1)]
        report = record_merges(connection, wrong, NOW)
        assert [[p.field for p in report.problems[i]] for i in (0, 1)] == [["survivor"]] * 2


def test_erasing_the_survivor_erases_whom_it_was_made_of(store: Store) -> None:
    with store.write() as connection:
        told(connection, [visit("ada", 20), merge("ada", "bo", 10), merge("bo", "cy", 9)])
    with store.write() as connection:
        done = erase(connection, "cy", by="tests", now=NOW)
    assert done.facts["events"] == 1
    with store.read() as connection:
        assert state(connection)["leads"] == []
        assert known_merges(connection, None).into == {}
    with store.write() as connection, pytest.raises(NotFoundError):
        erase(connection, "zoe", by="tests", now=NOW)


def _waits(store: Store, done: threading.Event) -> bool:
    """Whether the other writer waits for its turn; what it would do without waiting takes far less.

    PostgreSQL says who waits for an advisory lock; SQLite does not say who waits for the file.
    """
    if store.is_sqlite:
        return not done.wait(0.5)
    waiting = text(
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
        "WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"
    )
    for _ in range(200):
        with store.read() as connection:
            if connection.execute(waiting).scalar_one():
                return True
        if done.wait(0.05):
            return False
    return False


def test_who_takes_a_merge_back_waits_for_who_is_just_recording_it_and_sees_it(
    store: Store,
) -> None:
    """Unseen, the merge would leave its survivor closed by a deal that is the other's again."""
    begun, took = [won("ada", 1)], [merge("ada", "bo", 5), split("ada", 0)]
    with undone(store) as connection:
        told(connection, [*begun, *took])
        expected = state(connection)
    with store.write() as connection:
        told(connection, begun)
    done = threading.Event()

    def take_back() -> dict[str, list[tuple[object, ...]]]:
        try:
            with store.write() as connection:
                record_merged(connection, [took[1]], AGREED, NOW)
                return state(connection)
        finally:
            done.set()

    with ThreadPoolExecutor(1) as pool:
        with store.write() as connection:
            record_merged(connection, [took[0]], AGREED, NOW)
            other = pool.submit(take_back)
            assert _waits(store, done)
        assert other.result() == expected
    with store.read() as connection:
        assert state(connection) == expected
        assert known_merges(connection, None).into == {}
