"""Are the scores that were shown read whole and in order, on both databases, in any portions?"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from agreed import agreed
from on_record import scored

from features.clock import DAY
from features.facts import LeadVersion
from features.store.engine import Connection, Store
from features.store.history import newest_facts, some_leads
from features.store.ingest import ingest, set_do_not_score
from features.store.ledger import ScoreEntry, record_scores
from features.store.logged import inputs_of, iter_shown, scored_by_week
from features.store.reports import Report, newest_report, past_reports, record_report

START = 2_900 * 7 * DAY
LEADS = [f"S{i:02d}" for i in range(23)]


def entry(
    lead: str, at: int, *, bundle: str = "a" * 64, channel: str = "api", late: int = 0
) -> ScoreEntry:
    inputs = {"lead": lead, "at": float(at)}
    return scored(lead, at, as_of=at - late, bundle=bundle, inputs=inputs, channel=channel)


@pytest.fixture
def filled(store: Store) -> Store:
    """Each lead scored three times over three weeks, and scores that were shown to nobody."""
    rng = np.random.default_rng(0)
    entries = [
        entry(lead, START + int(rng.integers(0, 21 * DAY))) for lead in LEADS for _ in range(3)
    ]
    hidden = [
        entry("S00", START, bundle="b" * 64),
        entry("S01", START + DAY, channel="payload"),
        entry("S02", START + DAY, channel="shadow"),
        entry("S03", START + 2 * DAY, late=DAY + 1),
        entry("nobody", START + DAY),
    ]
    with store.write() as connection:
        versions = [
            LeadVersion(lead=lead, occurred_at=START - DAY, recorded_at=START - DAY)
            for lead in LEADS
        ]
        assert not ingest(connection, versions, agreed(), START).problems
        record_scores(connection, [*entries, *hidden], [None] * (len(entries) + len(hidden)))
    return store


def read(connection: Connection, portion: int) -> list[tuple[str, int, int]]:
    found = []
    for shown in iter_shown(connection, ["a" * 64], START, START + 21 * DAY, portion=portion):
        names = [shown.lead_ids[i] for i in shown.lead.tolist()]
        keys = list(
            zip(shown.lead.tolist(), shown.scored_at.tolist(), shown.id.tolist(), strict=True)
        )
        assert keys == sorted(keys)
        found += list(zip(names, shown.scored_at.tolist(), shown.id.tolist(), strict=True))
    return found


def test_portions_of_any_size_give_the_same_scores_and_none_that_was_shown_to_nobody(
    filled: Store,
) -> None:
    with filled.read() as connection:
        whole = read(connection, 1_000)
        assert Counter(lead for lead, *_ in whole) == dict.fromkeys(LEADS, 3)
        for portion in (1, 5, 23):
            assert sorted(read(connection, portion)) == sorted(whole)
        ids = [id_ for *_, id_ in whole][::-1]
        told = inputs_of(connection, [*ids, 10**9])
    names = [lead for lead, *_ in reversed(whole)]
    assert [row.get("lead") for row in told] == [*names, None]


def test_who_objects_is_left_out(filled: Store) -> None:
    with filled.write() as connection:
        set_do_not_score(connection, "S05", objected=True)
    with filled.read() as connection:
        assert {lead for lead, *_ in read(connection, 7)} == set(LEADS) - {"S05"}


def test_weeks_are_counted_by_bundle_and_channel(filled: Store) -> None:
    with filled.read() as connection:
        found = scored_by_week(connection, START, START + 21 * DAY, 7 * DAY)
        whole = read(connection, 1_000)
    shown = Counter(at // (7 * DAY) for _, at, _ in whole)
    extra = Counter({2_900: 2})  # too late, and of a lead that is not stored
    told = {week: n for bundle, channel, week, n in found if (bundle[0], channel) == ("a", "api")}
    assert told == dict(shown + extra)
    assert ("b" * 64, "api", 2_900, 1) in found
    assert {channel for _, channel, _, _ in found} == {"api", "payload", "shadow"}


def test_some_leads_are_about_as_many_as_asked_for_and_the_same_each_time(filled: Store) -> None:
    with filled.read() as connection:
        assert some_leads(connection, 1_000, 0) == LEADS
        some = some_leads(connection, 6, 1)
        assert some == some_leads(connection, 6, 1)
        assert 5 <= len(some) <= 9
        assert set(some) < set(LEADS)


def test_the_newest_fact_of_each_sort_is_known_as_of_an_instant(filled: Store) -> None:
    with filled.read() as connection:
        assert newest_facts(connection)["version"] == START - DAY
        assert newest_facts(connection, START - DAY)["version"] is None
        assert newest_facts(connection)["event"] is None


def test_reports_are_newest_first_and_made_again_they_stay_as_they_were(store: Store) -> None:
    def report(made_at: int, words: str, kind: str = "monitor") -> Report:
        return Report(
            kind=kind,
            made_at=made_at,
            through=None,
            bundle="",
            summary={"w": words},
            body={"b": words},
        )

    with store.write() as connection:
        assert newest_report(connection, "monitor") is None
        for one in (report(5, "five"), report(9, "nine"), report(7, "seven"), report(9, "again")):
            record_report(connection, one)
        record_report(connection, report(11, "other", kind="audit"))
    with store.read() as connection:
        newest = newest_report(connection, "monitor")
        past = past_reports(connection, "monitor", 2)
    assert newest == report(9, "nine")
    assert [dict(one.summary) for one in past] == [{"w": "nine"}, {"w": "seven"}]
    assert all(one.body == {} for one in past)
