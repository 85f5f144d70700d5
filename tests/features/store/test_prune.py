"""Do old scores go, and does every score stay that is evidence of something?"""

from __future__ import annotations

from itertools import groupby

import pytest
from agreed import NOW, agreed
from on_record import scored
from sqlalchemy import select

from features.clock import DAY
from features.definition import Definition
from features.facts import LeadVersion
from features.store.engine import Store
from features.store.ingest import ingest
from features.store.ledger import (
    QueueEntry,
    current,
    read_queue,
    record_scores,
    scores,
)
from features.store.prune import Pruning, count_prunable, prunable, prune

PLACE = QueueEntry(
    last_touch=None, owner=None, name=None, stage=None, kind="prospect", is_open=True
)
LEADS = ("a", "b")


@pytest.fixture
def ledger(store: Store) -> Store:
    """Two leads scored by the queue twice a day for 400 days, and by the API every tenth."""
    records = [
        LeadVersion(lead=lead, occurred_at=NOW - 500 * DAY, recorded_at=NOW - 500 * DAY)
        for lead in LEADS
    ]
    with store.write() as connection:
        ingest(connection, records, agreed(), NOW)
        for half in range(800):
            as_of = NOW - 400 * DAY + half * (DAY // 2)
            given = [scored(lead, as_of, channel="queue") for lead in LEADS]
            record_scores(connection, given, [PLACE, PLACE])
            if half % 20 == 0:
                record_scores(connection, [scored("a", as_of, channel="api")], [None])
    return store


def left(store: Store) -> list[tuple[str, int, str]]:
    query = select(scores.c.lead_id, scores.c.as_of, scores.c.channel).order_by(scores.c.id)
    with store.read() as connection:
        return [(row.lead_id, row.as_of, row.channel) for row in connection.execute(query)]


def oracle(rows: list[tuple[str, int, str]], definition: Definition, days: float) -> list[int]:
    """Positions of the scores that go, by plain loops."""
    horizon = definition.horizon_days or 0.0
    period = round((definition.cohorts.every_days or 1.0) * DAY)
    going = []
    for lead in LEADS:
        mine = [
            (as_of // period, i)
            for i, (whose, as_of, channel) in enumerate(rows)
            if (whose, channel) == (lead, "queue")
        ]
        for _, group in groupby(mine, key=lambda pair: pair[0]):
            going += [i for _, i in list(group)[:-1]]
    waits = horizon + definition.reporting_lag_days
    return sorted(i for i in going if rows[i][1] < NOW - max(days, waits) * DAY)


def test_renewals_go_but_one_a_period_and_nothing_that_is_still_open(ledger: Store) -> None:
    definition, before = agreed(), left(ledger)
    condition = prunable(definition, NOW, 30.0)
    expected = set(oracle(before, definition, 30.0))
    assert 100 < len(expected) < len(before)
    with ledger.read() as connection:
        queue = read_queue(connection).rows
        assert count_prunable(connection, condition) == Pruning(len(before), len(expected))
    assert left(ledger) == before, "counting changes nothing"
    assert prune(ledger, condition) == len(expected)
    assert left(ledger) == [row for i, row in enumerate(before) if i not in expected]
    with ledger.read() as connection:
        assert read_queue(connection).rows == queue
    assert prune(ledger, condition) == 0


def test_what_somebody_was_given_goes_only_when_asked(ledger: Store) -> None:
    before = left(ledger)
    prune(ledger, prunable(agreed(), NOW, 365.0))
    given = [row for row in before if row[2] == "api"]
    assert [row for row in left(ledger) if row[2] == "api"] == given
    prune(ledger, prunable(agreed(), NOW, 365.0, answered=True))
    kept = [row for row in given if row[1] >= NOW - 365 * DAY]
    assert [row for row in left(ledger) if row[2] == "api"] == kept
    assert len(kept) < len(given)


def test_without_a_horizon_the_scores_of_open_leads_stay(ledger: Store) -> None:
    endless = agreed().model_copy(update={"horizon_days": None})
    with ledger.write() as connection:
        key = connection.execute(select(scores.c.lead).where(scores.c.lead_id == "b")).scalars()
        connection.execute(current.update().where(current.c.lead == key.first()).values(is_open=0))
    before = left(ledger)
    prune(ledger, prunable(endless, NOW, 1.0))
    after = left(ledger)
    assert [row for row in after if row[0] == "a"] == [row for row in before if row[0] == "a"]
    assert len(after) < len(before)
