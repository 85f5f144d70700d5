"""The share of values filled in after the close is what people would count by hand."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from agreed import NOW, agreed

from features.clock import DAY, HOUR
from features.facts import LeadVersion, StageChange, Value
from features.store.engine import Store
from features.store.ingest import ingest
from features.store.outcomes import Deal
from features.store.recording import record_deals
from features.store.timing import filled_after_close

AGREED = agreed()
CLOSED = NOW // DAY * DAY - 100 * DAY + 10 * HOUR


def version(at: int, lead: str = "ada", **attributes: Value) -> LeadVersion:
    told: Mapping[str, Value] = attributes
    return LeadVersion(lead=lead, occurred_at=at, recorded_at=at, attributes=told)


def shares(
    store: Store, *records: LeadVersion | StageChange, closed: int = CLOSED, before: int = NOW
) -> dict[str, float]:
    deals = [
        Deal(lead=lead, ending="won", occurred_at=closed, recorded_at=closed, external_id=lead)
        for lead in {record.lead for record in records}
    ]
    with store.write() as connection:
        assert not ingest(connection, records, AGREED, NOW).problems
        assert not record_deals(connection, deals, AGREED, NOW).problems
    with store.read() as connection:
        return filled_after_close(connection, AGREED, before)


OPENED = CLOSED - 50 * DAY


def test_a_value_filled_in_at_the_close_is_late_and_one_from_before_is_not(store: Store) -> None:
    found = shares(
        store,
        version(OPENED, city="Basel"),
        version(CLOSED - 1, city="Basel", employees=5.0),
        version(CLOSED, city="Bern", employees=5.0, growth=0.1, age=40.0),
        version(OPENED, lead="bo", city="Basel", growth=0.2),
    )
    assert found == {"city": 0.0, "employees": 0.0, "growth": 0.5, "age": 1.0}


def test_a_register_that_is_renewed_long_after_the_close_is_not_late(store: Store) -> None:
    found = shares(
        store, version(OPENED, city="Basel"), version(CLOSED + 30 * DAY, city="Basel", growth=0.1)
    )
    assert found == {"city": 0.0}


def test_what_is_recorded_after_the_cutoff_is_not_looked_at(store: Store) -> None:
    records = version(OPENED, city="Basel"), version(CLOSED + DAY, growth=0.1)
    assert shares(store, *records, before=CLOSED + DAY) == {"city": 0.0}


def test_a_lead_that_is_worked_again_says_nothing(store: Store) -> None:
    again = StageChange(
        lead="ada", stage="qualified", occurred_at=CLOSED + DAY, recorded_at=CLOSED + DAY
    )
    assert shares(store, version(OPENED), version(CLOSED + 2 * DAY, growth=0.1), again) == {}


@pytest.mark.parametrize(("at", "late"), [(15 * HOUR, 0.0), (24 * HOUR, 1.0)])
def test_a_close_without_a_time_of_day_lasts_its_day(store: Store, at: int, late: float) -> None:
    midnight = CLOSED // DAY * DAY
    found = shares(store, version(OPENED), version(midnight + at, growth=0.1), closed=midnight)
    assert found == {"growth": late}


def test_what_a_lead_came_in_with_is_never_late_though_it_closed_at_once(store: Store) -> None:
    assert shares(store, version(CLOSED, growth=0.1)) == {"growth": 0.0}


def test_leads_without_deals_or_with_annulled_ones_say_nothing(store: Store) -> None:
    with store.write() as connection:
        records = [version(OPENED, growth=0.1), version(OPENED, lead="bo", growth=0.1)]
        ingest(connection, records, AGREED, NOW)
        deal = Deal(lead="bo", ending="won", occurred_at=CLOSED, recorded_at=CLOSED)
        void = Deal(lead="bo", ending="void", occurred_at=CLOSED, recorded_at=CLOSED + DAY)
        record_deals(connection, [deal, void], AGREED, NOW)
    with store.read() as connection:
        assert filled_after_close(connection, AGREED, NOW) == {}
