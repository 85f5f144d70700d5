"""Is it noted once who was shown where, and derived who was worked after that?"""

from __future__ import annotations

from dataclasses import replace

from agreed import NOW, agreed

from features.clock import DAY, HOUR
from features.facts import Answer, Event, LeadVersion, StageChange
from features.store.engine import Store
from features.store.exposure import Shown, record_shown, showings, worked_at
from features.store.ingest import ingest
from features.store.outcomes import Deal
from features.store.recording import record_deals
from features.store.trials import Rules, list_trials, note_rules

AGREED = agreed()
ONE = Shown(lead="ada", score=7, at=NOW - DAY, list="owner=anna", rank=3, channel="page")


def opened(store: Store) -> None:
    at = NOW - 9 * DAY
    leads = [LeadVersion(lead=lead, occurred_at=at, recorded_at=at) for lead in ("ada", "bo")]
    with store.write() as connection:
        ingest(connection, leads, AGREED, NOW)


def test_a_lead_is_noted_once_a_day_in_one_place_of_one_list(store: Store) -> None:
    opened(store)
    others = [
        replace(ONE, rank=4),
        replace(ONE, list="everybody"),
        replace(ONE, channel="api"),
        replace(ONE, at=ONE.at + DAY),
        replace(ONE, score=8),
    ]
    with store.write() as connection:
        assert record_shown(connection, [ONE, replace(ONE, at=ONE.at + HOUR)]) == 1
        assert record_shown(connection, [ONE, *others]) == len(others)
        assert record_shown(connection, [replace(ONE, lead="nobody", rank=9)]) == 0
    with store.read() as connection:
        rows = showings(connection, ["ada", "bo"], NOW - 2 * DAY, NOW)
    assert [row["lead_id"] for row in rows] == ["ada"] * 5
    assert rows[0]["rank"] == 3
    assert rows[0]["place"] == "score"


def test_work_is_what_people_do_and_not_what_the_lead_does_or_a_deal_brings_about(
    store: Store,
) -> None:
    opened(store)
    at = NOW - 2 * DAY

    def times(n: int) -> dict[str, int]:
        return {"occurred_at": at + n * HOUR, "recorded_at": at + n * HOUR}

    facts = [
        Event(lead="ada", kind="visit", **times(1)),
        Answer(lead="ada", question="pain", answer="Some", **times(3)),
        StageChange(lead="ada", stage="qualified", **times(2)),
        StageChange(lead="ada", stage="parked", occurred_at=at, recorded_at=NOW),
        StageChange(lead="ada", stage="won", **times(9)),
    ]
    with store.write() as connection:
        assert not ingest(connection, facts, AGREED, NOW).problems
        record_deals(connection, [Deal(lead="bo", ending="won", **times(1))], AGREED, NOW)
    with store.read() as connection:
        found = worked_at(connection, ["ada", "bo"], NOW, ("won", "lost"))
    assert found == {"ada": [at + 2 * HOUR, at + 3 * HOUR]}


def test_rules_are_noted_when_they_change_and_plain_ones_need_no_note(store: Store) -> None:
    some, other = Rules(0.1, 0.0, 20), Rules(0.1, 0.2, 20)
    with store.write() as connection:
        assert not note_rules(connection, Rules(), 1)
        assert note_rules(connection, some, 2)
        assert not note_rules(connection, some, 3)
        assert note_rules(connection, other, 4)
        assert note_rules(connection, Rules(), 5)
        found = [(t.rules, t.since, t.until) for t in list_trials(connection)]
    assert found == [(some, 2, 4), (other, 4, 5), (Rules(0, 0, 50), 5, None)]
