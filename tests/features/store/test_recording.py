"""Do deals end up the same in whatever order they arrive, and do they close their leads?"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from agreed import NOW
from closed_deals import (
    AGREED,
    INSTANTS,
    LEADS,
    OPENING,
    WON,
    ada_is_open,
    many_revisions,
    open_at,
    outcomes_now,
    read_outcomes,
    record,
    who_is_open,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from stores import counts, state, undone

from features.clock import DAY, HOUR, iso
from features.definition import parse_definition
from features.facts import Queries, StageChange
from features.lifecycle import is_open
from features.store.engine import Store
from features.store.history import load_facts
from features.store.ingest import ingest
from features.store.outcomes import ENDINGS, Deal, deals
from features.store.recording import record_deals


def test_a_deal_is_there_and_has_closed_its_lead(store: Store) -> None:
    assert record(store, WON).added == 1
    assert outcomes_now(store) == [("ada", WON.occurred_at, WON.recorded_at, "won", 100.0)]
    with store.read() as connection:
        assert who_is_open(connection, NOW) == {"ada": False, "bo": True}


def test_a_lead_is_open_at_the_instant_of_its_deal_and_closed_one_microsecond_later(
    store: Store,
) -> None:
    record(store, WON)
    assert ada_is_open(store, WON.occurred_at)
    assert not ada_is_open(store, WON.occurred_at + 1)


def test_sending_deals_again_changes_nothing(store: Store) -> None:
    given_deals = [WON, replace(WON, lead="bo", ending="lost", amount=None, external_id="d2")]
    record(store, *given_deals)
    with store.read() as connection:
        before = state(connection)
    report = record(store, *given_deals)
    assert (report.added, report.unchanged, report.problems) == (0, 2, {})
    with store.read() as connection:
        assert state(connection) == before


def test_an_annulled_deal_is_gone_and_its_lead_open_again(store: Store) -> None:
    record(store, WON)
    record(store, replace(WON, ending="void", recorded_at=NOW - DAY))
    assert outcomes_now(store) == []
    assert not ada_is_open(store, NOW - DAY)
    assert ada_is_open(store, NOW)


def test_annulling_a_deal_that_never_was_reopens_nothing(store: Store) -> None:
    with store.write() as connection:
        before = WON.occurred_at - DAY
        lost = StageChange(lead="ada", stage="lost", occurred_at=before, recorded_at=before)
        ingest(connection, [*OPENING, lost], AGREED, NOW)
    record(store, replace(WON, ending="void", recorded_at=NOW))
    assert outcomes_now(store) == []
    assert not ada_is_open(store)


def test_a_deal_closed_again_after_it_was_annulled_counts_and_closes_its_lead(store: Store) -> None:
    """The third revision says what the first one said; it is the last one all the same."""
    record(store, WON)
    record(store, replace(WON, ending="void", recorded_at=NOW - 2 * DAY))
    record(store, replace(WON, recorded_at=NOW - DAY))
    assert outcomes_now(store) == [("ada", WON.occurred_at, NOW - DAY, "won", 100.0)]
    assert ada_is_open(store, NOW - DAY)
    assert not ada_is_open(store, NOW)


def test_a_deal_annulled_under_an_earlier_date_leaves_its_lead_open(store: Store) -> None:
    """What closed the lead last happened after the date under which the deal is annulled."""
    record(store, WON)
    record(store, replace(WON, occurred_at=NOW - 3 * DAY, recorded_at=NOW - 3 * DAY))
    record(store, replace(WON, ending="void", recorded_at=NOW - DAY))
    assert outcomes_now(store) == []
    assert ada_is_open(store)


def test_a_nightly_resend_of_all_deals_revises_nothing(store: Store) -> None:
    for night in range(3):
        now = NOW + night * DAY
        report = record(store, replace(WON, recorded_at=now), now=now)
        assert (report.added, report.unchanged) == ((1, 0) if night == 0 else (0, 1))
    with store.read() as connection:
        assert counts(connection)["deals"] == counts(connection)["stages"] == 1


def test_a_deal_off_merit_closes_its_lead(store: Store) -> None:
    record(store, replace(WON, ending="off_merit"))
    assert [row[3] for row in outcomes_now(store)] == ["off_merit"]
    assert not ada_is_open(store)


def test_a_reopened_lead_is_open_though_its_deal_stands(store: Store) -> None:
    record(store, WON)
    with store.write() as connection:
        again = StageChange(
            lead="ada", stage="qualified", occurred_at=NOW - DAY, recorded_at=NOW - DAY
        )
        ingest(connection, [again], AGREED, NOW)
    assert ada_is_open(store)
    assert len(outcomes_now(store)) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(many_revisions(), st.data())
def test_deals_in_any_order_and_any_batches_give_the_same_outcomes_and_open_leads(
    store: Store, revisions: list[Deal], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(revisions), label="order")
    cut = data.draw(st.integers(0, len(revisions)), label="cut")
    found = []
    for batches in ([revisions], [shuffled[:cut], shuffled[cut:]], [[deal] for deal in shuffled]):
        with undone(store) as connection:
            ingest(connection, OPENING, AGREED, NOW)
            for batch in batches:
                assert not record_deals(connection, batch, AGREED, NOW).problems
            outcomes = [read_outcomes(connection, instant) for instant in INSTANTS]
            found.append((outcomes, open_at(connection, INSTANTS)))
    assert found[0] == found[1] == found[2]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120)
@given(many_revisions(), st.randoms(use_true_random=False))
def test_a_lead_is_closed_exactly_while_a_deal_of_it_stands(
    sqlite_store: Store, revisions: list[Deal], random: st.random.Random
) -> None:
    """Any deals, voids, moves and duplicates in any order; two tables say the same.

    Without ties, as above: what closes the lead and what the outcome is are two tables.
    """
    distinct = list({deal.recorded_at: deal for deal in revisions}.values())
    shuffled = random.sample([*distinct, *distinct], 2 * len(distinct))
    with undone(sqlite_store) as connection:
        ingest(connection, OPENING, AGREED, NOW)
        for deal in shuffled:
            record_deals(connection, [deal], AGREED, NOW)
        stands = [
            any(row[0] == lead for row in read_outcomes(connection, instant))
            for lead in LEADS
            for instant in INSTANTS
        ]
        is_open_then = open_at(connection, INSTANTS)
        piecemeal = state(connection)
    with undone(sqlite_store) as connection:
        ingest(connection, OPENING, AGREED, NOW)
        record_deals(connection, distinct, AGREED, NOW)
        assert state(connection) == piecemeal
    assert is_open_then == [not standing for standing in stands]


def test_annulling_one_of_two_deals_leaves_the_lead_closed_by_the_other(store: Store) -> None:
    other = replace(WON, ending="lost", occurred_at=NOW - 8 * DAY, external_id="d2")
    other = replace(other, recorded_at=NOW - 8 * DAY)
    void = replace(WON, ending="void", recorded_at=NOW - 3 * DAY)
    record(store, WON, other, void)
    assert not ada_is_open(store)
    record(store, replace(other, ending="void", recorded_at=NOW - DAY))
    assert not ada_is_open(store, NOW - DAY)
    assert ada_is_open(store)


def test_annulling_the_second_of_two_deals_leaves_the_lead_closed_by_the_first(
    store: Store,
) -> None:
    second = replace(WON, occurred_at=NOW - 5 * DAY, recorded_at=NOW - 5 * DAY, external_id="d2")
    record(store, WON, second, replace(second, ending="void", recorded_at=NOW - DAY))
    assert not ada_is_open(store)


def test_a_client_in_work_again_is_so_still_when_its_second_deal_is_annulled(store: Store) -> None:
    again = StageChange(
        lead="ada", stage="qualified", occurred_at=NOW - 7 * DAY, recorded_at=NOW - 7 * DAY
    )
    second = replace(WON, occurred_at=NOW - 5 * DAY, recorded_at=NOW - 5 * DAY, external_id="d2")
    with store.write() as connection:
        ingest(connection, [*OPENING, again], AGREED, NOW)
    record(store, WON, second)
    assert not ada_is_open(store)
    record(store, replace(second, ending="void", recorded_at=NOW - DAY))
    assert ada_is_open(store)


def test_a_deal_that_moves_to_another_lead_closes_that_one_and_reopens_the_first(
    store: Store,
) -> None:
    record(store, WON, replace(WON, lead="bo", recorded_at=NOW - DAY))
    with store.read() as connection:
        assert who_is_open(connection, NOW - DAY) == {"ada": False, "bo": True}
        assert who_is_open(connection, NOW) == {"ada": True, "bo": False}


def test_a_stage_change_of_others_that_looks_like_ours_is_left_alone(store: Store) -> None:
    with store.write() as connection:
        own = StageChange(
            lead="ada", stage="qualified", occurred_at=NOW - 20 * DAY, recorded_at=NOW - 20 * DAY
        )
        ingest(connection, [*OPENING, replace(own, external_id="deal:of the month")], AGREED, NOW)
    record(store, WON)
    with store.read() as connection:
        assert counts(connection)["stages"] == 2


def test_bad_deals_are_named_with_all_their_problems_and_good_ones_kept(store: Store) -> None:
    report = record(
        store,
        replace(WON, lead="nobody", ending="maybe", amount=float("nan")),  # type: ignore[arg-type]
        WON,
        replace(WON, reason="x" * 301, source="y" * 65, external_id="a\0b", amount=10**400),
        replace(WON, occurred_at=NOW + HOUR, recorded_at=10**18),
    )
    assert report.added == 1
    found = {i: [str(problem) for problem in problems] for i, problems in report.problems.items()}
    assert found == {
        0: [
            "deal 1: lead = 'nobody': no such lead; send the lead first",
            "deal 1: ending = 'maybe': must be one of ['won', 'lost', 'off_merit', 'void']",
            "deal 1: amount = nan: must be a finite number",
        ],
        2: [
            f"deal 3: amount = {'1' + 58 * '0'}…: must be a finite number",
            f"deal 3: reason = '{58 * 'x'}…: is longer than 300 characters (301)",
            f"deal 3: source = '{58 * 'y'}…: is longer than 64 characters (65)",
            "deal 3: external_id = 'a\\x00b': contains a NUL character",
        ],
        3: [
            f"deal 4: occurred_at = 2026-05-01T13:00:00Z: lies in the future (it is {iso(NOW)})",
            "deal 4: recorded_at = 1000000000000000000: lies outside the years 1 to 9999",
        ],
    }


def test_the_longest_names_are_kept_and_still_close_the_lead(store: Store) -> None:
    lead = "é" * 300
    with store.write() as connection:
        ingest(connection, [replace(OPENING[0], lead=lead)], AGREED, NOW)
    for external_id in (None, "x" * 300):
        report = record(store, replace(WON, lead=lead, external_id=external_id, source="y" * 64))
        assert (report.added, report.problems) == (1, {})
    with store.read() as connection:
        facts = load_facts(connection, AGREED, [lead], NOW)
        assert not is_open(facts, Queries.at([0], NOW), AGREED)[0]


def test_a_deal_closes_its_lead_under_a_definition_with_stages_of_its_own(store: Store) -> None:
    own = parse_definition(
        "{name: own, stages: [{name: fresh}, {name: lost, label: Gone, closed: true}]}"
    )
    with store.write() as connection:
        ingest(connection, OPENING, own, NOW)
        record_deals(connection, [replace(WON, ending="lost")], own, NOW)
        facts = load_facts(connection, own, ["ada"], NOW)
    assert not is_open(facts, Queries.at([0], NOW), own)[0]


def test_eight_writers_of_the_same_deals_write_each_once_and_agree(store: Store) -> None:
    record(store)
    endings = [ENDINGS[i % 4] for i in range(12)]
    revisions = [
        replace(WON, ending=ending, recorded_at=NOW - (12 - i) * HOUR)
        for i, ending in enumerate(endings)
    ]
    start = threading.Barrier(8)

    def send(worker: int) -> int:
        start.wait()
        turned = revisions[worker:] + revisions[:worker]
        return sum(record(store, *turned[i : i + 3]).added for i in range(0, 12, 3))

    with ThreadPoolExecutor(8) as pool:
        added = sum(pool.map(send, range(8)))
    assert added == 12
    with store.read() as connection:
        assert len(connection.execute(select(deals.c.id)).all()) == 12
        assert read_outcomes(connection, NOW) == [], "the last of them annulled the deal"
        assert who_is_open(connection, NOW)["ada"]


def test_an_error_after_recording_leaves_neither_the_deal_nor_the_closing(store: Store) -> None:
    record(store)
    with pytest.raises(KeyError), store.write() as connection:  # noqa: PT012
        record_deals(connection, [WON], AGREED, NOW)
        raise KeyError
    assert outcomes_now(store) == []
    assert ada_is_open(store)
