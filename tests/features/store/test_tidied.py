"""Is a pipeline that somebody cleaned told from leads that were lost?"""

from __future__ import annotations

import pytest
from agreed import NOW, agreed

from features.clock import DAY, MINUTE
from features.facts import LeadVersion
from features.store.engine import Store
from features.store.ingest import ingest
from features.store.outcomes import ENDINGS, Deal, load_outcomes
from features.store.recording import record_deals
from features.store.tidied import FEWEST

AGREED = agreed()
LEADS = [f"L{i}" for i in range(120)]
OFF_MERIT, LOST, WON = (ENDINGS.index(name) for name in ("off_merit", "lost", "won"))


def closed(i: int, at: int, reason: str | None = None, ending: str = "lost") -> Deal:
    return Deal(
        lead=LEADS[i],
        ending=ending,  # type: ignore[arg-type]
        occurred_at=at,
        recorded_at=at,
        amount=5.0,
        reason=reason,
    )


def endings(store: Store, deals: list[Deal]) -> list[int]:
    opened = NOW - 900 * DAY
    versions = [LeadVersion(lead=lead, occurred_at=opened, recorded_at=opened) for lead in LEADS]
    with store.write() as connection:
        ingest(connection, versions, AGREED, NOW)
        assert not record_deals(connection, deals, AGREED, NOW).problems
    with store.read() as connection:
        found = load_outcomes(connection, LEADS, NOW)
    by_lead = dict(zip(found.lead.tolist(), found.ending.tolist(), strict=True))
    assert found.amount.sum() == 5.0 * len(deals)
    return [by_lead[LEADS.index(deal.lead)] for deal in deals]


def test_many_losses_of_one_minute_and_reason_are_off_merit_and_keep_their_amounts(
    store: Store,
) -> None:
    usual = [closed(i, NOW - (i + 2) * DAY, "price") for i in range(30)]
    swept = [closed(i, NOW - DAY, "inactive") for i in range(30, 60)]
    bought = [closed(60, NOW - DAY, "inactive", "won")]
    found = endings(store, [*usual, *swept, *bought])
    assert found == [LOST] * 30 + [OFF_MERIT] * 30 + [WON]


@pytest.mark.parametrize("n", [FEWEST - 1, FEWEST])
def test_fewer_than_the_fewest_are_what_they_say(sqlite_store: Store, n: int) -> None:
    usual = [closed(i, NOW - (i + 2) * DAY) for i in range(9)]
    swept = [closed(20 + i, NOW - DAY) for i in range(n)]
    assert endings(sqlite_store, [*usual, *swept])[-1] == (OFF_MERIT if n == FEWEST else LOST)


def test_a_source_that_knows_dates_only_closes_a_days_worth_at_once_on_merit(
    sqlite_store: Store,
) -> None:
    midnight = NOW - NOW % DAY
    found = endings(
        sqlite_store, [closed(i, midnight - (1 + i // 25) * DAY, "price") for i in range(100)]
    )
    assert set(found) == {LOST}


def test_two_reasons_of_one_minute_are_two_and_so_are_two_minutes(sqlite_store: Store) -> None:
    half = [closed(i, NOW - DAY, "price" if i % 2 else "fit") for i in range(30)]
    apart = [closed(i, NOW - 2 * DAY - (i % 2) * MINUTE, "price") for i in range(40, 70)]
    assert set(endings(sqlite_store, [*half, *apart])) == {LOST}
