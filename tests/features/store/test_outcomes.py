"""Is of each deal the last revision read that was recorded before the instant asked about?"""

from __future__ import annotations

from dataclasses import replace

from agreed import NOW
from closed_deals import (
    AGREED,
    INSTANTS,
    OPENING,
    WON,
    many_revisions,
    outcomes_now,
    read_outcomes,
    record,
)
from hypothesis import HealthCheck, given, settings
from stores import undone

from features.clock import DAY
from features.store.engine import Store
from features.store.history import iter_facts
from features.store.ingest import ingest
from features.store.outcomes import Deal, load_outcomes
from features.store.recording import record_deals


def test_a_deal_recorded_at_or_after_the_cutoff_is_not_known_yet(store: Store) -> None:
    record(store, replace(WON, recorded_at=NOW - 2 * DAY))
    assert outcomes_now(store, before=NOW - 2 * DAY) == []
    assert len(outcomes_now(store, before=NOW - 2 * DAY + 1)) == 1


def test_a_revision_replaces_what_was_said_before_and_not_what_was_known_before(
    store: Store,
) -> None:
    record(store, WON, replace(WON, amount=250.0, recorded_at=NOW - DAY))
    assert [row[-1] for row in outcomes_now(store)] == [250.0]
    assert [row[-1] for row in outcomes_now(store, before=NOW - DAY)] == [100.0]


def test_a_revision_that_arrives_late_does_not_outdo_one_recorded_after_it(store: Store) -> None:
    """The last revision says what the first one says; it has not been forgotten meanwhile."""
    record(store, WON)
    record(store, replace(WON, recorded_at=NOW - DAY))
    record(store, replace(WON, amount=1.0, recorded_at=NOW - 2 * DAY))
    assert [row[-1] for row in outcomes_now(store)] == [100.0]
    assert [row[-1] for row in outcomes_now(store, before=NOW - DAY)] == [1.0]


def test_of_two_revisions_recorded_at_once_one_counts(store: Store) -> None:
    record(store, WON, replace(WON, amount=1.0))
    assert len(outcomes_now(store)) == 1


def test_a_deal_that_moves_to_another_lead_is_no_longer_the_first_ones(store: Store) -> None:
    record(store, WON, replace(WON, lead="bo", recorded_at=NOW - DAY))
    assert [row[0] for row in outcomes_now(store)] == ["bo"]
    with store.read() as connection:
        assert read_outcomes(connection, NOW, ["ada"]) == [], (
            "whether or not the other is asked about"
        )
        assert [row[0] for row in read_outcomes(connection, NOW - DAY, ["ada"])] == ["ada"]


def test_a_lead_without_deal_ids_has_one_deal_a_close_date(store: Store) -> None:
    bare = replace(WON, external_id=None)
    record(store, bare, replace(bare, amount=5.0, recorded_at=NOW))
    record(store, replace(bare, occurred_at=NOW - DAY, recorded_at=NOW))
    assert [row[-1] for row in outcomes_now(store)] == [5.0, 100.0]


def test_the_same_id_at_another_source_is_another_deal(store: Store) -> None:
    record(store, WON, replace(WON, source="erp"))
    assert len(outcomes_now(store)) == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(many_revisions())
def test_outcomes_are_the_last_revisions_in_a_plain_loop(
    sqlite_store: Store, revisions: list[Deal]
) -> None:
    """Without ties: when two revisions were recorded at once, either may count."""
    distinct = {(d.recorded_at, d.external_id or (d.lead, d.occurred_at)): d for d in revisions}
    with undone(sqlite_store) as connection:
        ingest(connection, OPENING, AGREED, NOW)
        record_deals(connection, list(distinct.values()), AGREED, NOW)
        for before in INSTANTS:
            last: dict[object, Deal] = {}
            for deal in sorted(distinct.values(), key=lambda deal: deal.recorded_at):
                if deal.recorded_at < before:
                    last[deal.external_id or (deal.lead, deal.occurred_at)] = deal
            expected = [
                (d.lead, d.occurred_at, d.recorded_at, d.ending, d.amount)
                for d in last.values()
                if d.ending != "void"
            ]
            assert sorted(read_outcomes(connection, before), key=repr) == sorted(expected, key=repr)


def test_outcomes_of_many_leads_are_found_wherever_the_leads_lie(store: Store) -> None:
    """Leads that lie close together are read as a range, others by name."""
    many = [f"lead {i:04}" for i in range(300)]
    with store.write() as connection:
        ingest(connection, [replace(OPENING[0], lead=lead) for lead in many], AGREED, NOW)
        given_deals = [
            replace(WON, lead=lead, amount=float(i), external_id=lead)
            for i, lead in enumerate(many)
        ]
        record_deals(connection, given_deals, AGREED, NOW)
        apart = (many[:20:2], many[::50], [many[0], many[-1], "nobody"])
        for wanted in (many, many[::-1], *apart):
            found = load_outcomes(connection, wanted, NOW)
            expected = [i for i, lead in enumerate(wanted) if lead != "nobody"]
            assert found.lead.tolist() == expected
            assert [many[int(a)] for a in found.amount] == [wanted[i] for i in found.lead]


def test_reading_in_portions_finds_every_deal_once(store: Store) -> None:
    record(store, WON, replace(WON, lead="bo", external_id="d2"))
    with store.read() as connection:
        found = [
            facts.lead_ids[lead]
            for facts in iter_facts(connection, AGREED, NOW, portion=1)
            for lead in load_outcomes(connection, facts.lead_ids, NOW).lead
        ]
    assert found == ["ada", "bo"]
