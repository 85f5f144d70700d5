"""Warnings say when deals come late, stop coming, or leave too many leads out, and only then."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from agreed import NOW, agreed

from features.clock import DAY
from features.definition import parse_definition
from features.facts import Event, LeadVersion
from features.store.engine import Store
from features.store.ingest import ingest, set_do_not_score
from features.store.outcomes import Deal
from features.store.recording import record_deals
from features.store.timing import Pace, recording
from training.timeliness import deal_warnings, silence_warning

AGREED = agreed()
LEADS = [f"lead-{i}" for i in range(200)]
START = NOW - 300 * DAY


def fill(store: Store, lags_days: Sequence[float], *, facts_until: int = NOW - DAY) -> None:
    """A lead and a deal for each lag, a deal a day, and an event at the end."""
    kind = AGREED.engagement.kinds[0].name
    leads = [LeadVersion(lead=lead, occurred_at=START, recorded_at=START) for lead in LEADS]
    event = Event(lead=LEADS[0], kind=kind, occurred_at=facts_until, recorded_at=facts_until)
    deals = [
        Deal(
            lead=LEADS[i],
            ending="won",
            occurred_at=START + i * DAY,
            recorded_at=START + i * DAY + round(lag * DAY),
            external_id=f"d{i}",
        )
        for i, lag in enumerate(lags_days)
    ]
    with store.write() as connection:
        assert not ingest(connection, [*leads, event], AGREED, NOW).problems
        assert not record_deals(connection, deals, AGREED, NOW).problems


def test_one_deal_in_a_hundred_may_be_late(store: Store) -> None:
    fill(store, [0.0] * 198 + [9.0] * 2, facts_until=START + 205 * DAY)
    assert deal_warnings(store, AGREED, NOW) == []


def test_more_are_told_with_the_lag_that_would_hold(store: Store) -> None:
    fill(store, [0.0] * 194 + [3.0] + [9.5] * 5, facts_until=START + 205 * DAY)
    (warning,) = deal_warnings(store, AGREED, NOW)
    # 3 days to the microsecond are not later than the agreed 3.
    assert warning.startswith("2.5% of 200 deals were recorded more than the agreed 3 days")
    assert "`reporting_lag_days: 10`" in warning
    longer = parse_definition(
        AGREED.to_yaml().replace("reporting_lag_days: 3.0", "reporting_lag_days: 10.0")
    )
    assert longer.reporting_lag_days == 10
    assert deal_warnings(store, longer, NOW) == []


def test_a_revision_is_not_a_late_deal_and_a_deal_after_the_cutoff_is_none(store: Store) -> None:
    fill(store, [0.0] * 10)
    first = Deal(lead=LEADS[0], ending="won", occurred_at=START, recorded_at=START)
    revised = Deal(
        lead=LEADS[0],
        ending="won",
        occurred_at=START,
        recorded_at=START + 90 * DAY,
        amount=5.0,
        external_id="d0",
    )
    with store.write() as connection:
        assert first.lead == revised.lead
        assert record_deals(connection, [revised], AGREED, NOW).added == 1
    with store.read() as connection:
        assert recording(connection, 3 * DAY, NOW).late == 0
        assert recording(connection, 3 * DAY, START + 5 * DAY).deals == 5
        assert recording(connection, 3 * DAY, START).deals == 0


def test_deals_that_stop_long_before_facts_are_told(store: Store) -> None:
    fill(store, [0.0] * 200, facts_until=START + 199 * DAY + 40 * DAY)
    (warning,) = deal_warnings(store, AGREED, NOW)
    # 90 deals in 90 days, 40 days less the lag of 3: 37.
    assert "about 37 deals would have come" in warning


def test_a_silence_that_may_be_chance_is_not_told() -> None:
    # A deal every nine days: ten in 90 days. P(none in 80 days) is exp(-8.9), one in 7,000.
    assert silence_warning(Pace(0, 83 * DAY, 10), AGREED) is None
    assert silence_warning(Pace(0, 90 * DAY, 10), AGREED) is not None


def test_events_within_the_lag_of_the_last_deal_are_no_silence() -> None:
    assert silence_warning(Pace(0, 3 * DAY, 90_000), AGREED) is None


@pytest.mark.parametrize(("objecting", "told"), [(2, False), (10, True)])
def test_many_who_object_are_told_with_the_most_it_can_do(
    store: Store, objecting: int, told: bool
) -> None:
    fill(store, [0.0] * 200, facts_until=START + 200 * DAY)
    with store.write() as connection:
        for lead in LEADS[:objecting]:
            set_do_not_score(connection, lead, True)
    warnings = deal_warnings(store, AGREED, NOW)
    assert len(warnings) == told
    if told:
        # 5 % of the leads left out: 1 / .95 = 1.0526.
        assert "10 of 200 leads (5.0%)" in warnings[0]
        assert "up to 5.3% higher" in warnings[0]
