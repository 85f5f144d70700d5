"""Do facts get in once, whole, and in any order, with the good ones kept and the bad ones named?"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from agreed import NOW, agreed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from stores import counts, state, undone
from strategies import FAR, LEADS, histories

from features.clock import DAY
from features.definition import Definition
from features.errors import NotFoundError
from features.facts import Answer, Event, LeadVersion, Record, StageChange
from features.store import ingest as module
from features.store.engine import Store
from features.store.ingest import (
    IngestReport,
    content_key,
    ingest,
    lead_keys,
    set_do_not_score,
)
from features.store.tables import events, lead_versions, leads

AGREED = agreed()
ADA = LeadVersion(lead="ada", occurred_at=NOW - DAY, recorded_at=NOW - DAY)
VISIT = Event(lead="ada", kind="visit", occurred_at=NOW - 5, recorded_at=NOW - 4)
A_DAY = [
    ADA,
    VISIT,
    Answer(lead="ada", question="role", answer="Uses", occurred_at=NOW - 3, recorded_at=NOW - 3),
    StageChange(lead="ada", stage="new", occurred_at=NOW - 2, recorded_at=NOW - 2),
]


def _send(store: Store, records: Sequence[Record], now: int = NOW) -> IngestReport:
    with store.write() as connection:
        return ingest(connection, records, AGREED, now)


def _state(store: Store) -> dict[str, list[tuple[object, ...]]]:
    with store.read() as connection:
        return state(connection)


def _messages(report: IngestReport) -> dict[int, str]:
    return {i: "; ".join(map(str, found)) for i, found in sorted(report.problems.items())}


def test_a_batch_brings_a_lead_and_what_happened_to_it_in_any_order(store: Store) -> None:
    report = _send(store, A_DAY[::-1])
    assert (report.added, report.unchanged, report.problems) == (4, 0, {})
    with store.read() as connection:
        assert counts(connection) == {
            "leads": 1,
            "lead_versions": 1,
            "answers": 1,
            "events": 1,
            "stages": 1,
            "deals": 0,
        }


def test_sending_again_changes_nothing(store: Store) -> None:
    _send(store, A_DAY)
    before = _state(store)
    report = _send(store, A_DAY)
    assert (report.added, report.unchanged, report.problems) == (0, 4, {})
    assert _state(store) == before


def test_a_fact_twice_in_one_batch_is_there_once(store: Store) -> None:
    report = _send(store, [ADA, VISIT, VISIT])
    assert (report.added, report.unchanged) == (2, 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(histories(most=12), st.data())
def test_any_order_and_any_batches_give_the_same_state(
    store: Store, history: list[Record], data: st.DataObject
) -> None:
    opening = [replace(ADA, lead=lead) for lead in LEADS]
    shuffled = data.draw(st.permutations(history), label="order")
    cuts = data.draw(st.lists(st.integers(0, len(history)), max_size=4), label="batches")
    edges = [0, *sorted(cuts), len(history)]
    with undone(store) as connection:
        report = ingest(connection, [*history, *opening], AGREED, FAR)
        assert not report.problems
        at_once = state(connection)
    with undone(store) as connection:
        added = ingest(connection, opening, AGREED, FAR).added
        for start, end in pairwise(edges):
            added += ingest(connection, shuffled[start:end], AGREED, FAR).added
        assert state(connection) == at_once
        assert added == report.added


def test_the_same_id_with_other_content_is_reported_and_the_first_is_kept(store: Store) -> None:
    first, other = (
        replace(VISIT, external_id="e1"),
        replace(VISIT, kind="webinar", external_id="e1"),
    )
    _send(store, [ADA, first])
    before = _state(store)
    report = _send(store, [other, replace(VISIT, external_id="e2")])
    assert (report.added, report.unchanged) == (1, 0)
    assert _messages(report) == {
        0: "row 1: external_id = 'e1': is there already with other content; facts are never "
        "overwritten, use a new external_id"
    }
    assert [row for row in _state(store)["events"] if "e1" in row] == before["events"]


def test_the_same_id_with_other_content_in_one_batch_is_reported_and_the_first_is_kept(
    store: Store,
) -> None:
    given = [
        ADA,
        *(replace(VISIT, kind=kind, external_id="e1") for kind in ("visit", "visit", "webinar")),
    ]
    report = _send(store, given)
    assert (report.added, report.unchanged, list(report.problems)) == (2, 1, [3])
    with store.read() as connection:
        assert connection.execute(select(events.c.kind)).scalars().all() == ["visit"]


def test_the_same_id_at_another_source_is_another_fact(store: Store) -> None:
    given = [ADA, replace(VISIT, external_id="1"), replace(VISIT, external_id="1", source="crm")]
    assert _send(store, given).added == 3


def test_a_fact_recorded_again_later_is_the_same_fact_and_keeps_its_first_time(
    store: Store,
) -> None:
    _send(store, [ADA, VISIT])
    assert _send(store, [replace(VISIT, recorded_at=NOW)]).unchanged == 1
    with store.read() as connection:
        assert connection.execute(select(events.c.recorded_at)).scalar_one() == NOW - 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"employees": 5}, {"employees": 5.0}),
        ({"employees": 5.0, "city": None}, {"employees": 5.0}),
        ({"city": "Köln", "growth": 0.1}, {"growth": 0.1, "city": "Köln"}),
    ],
)
def test_attributes_that_say_the_same_are_the_same_fact(
    sqlite_store: Store, one: dict[str, object], other: dict[str, object]
) -> None:
    _send(sqlite_store, [replace(ADA, attributes=one)])
    assert _send(sqlite_store, [replace(ADA, attributes=other)]).unchanged == 1


def test_false_zero_and_unanswered_are_three_facts(sqlite_store: Store) -> None:
    given = [
        replace(ADA, attributes=said)
        for said in ({"newsletter": False}, {"newsletter": None}, {"employees": 0.0})
    ]
    assert _send(sqlite_store, given).added == 3


def test_good_rows_are_kept_and_bad_ones_are_named_by_their_row(store: Store) -> None:
    given = [
        replace(VISIT, kind="dance"),
        ADA,
        VISIT,
        replace(VISIT, lead="nobody"),
        replace(ADA, lead="bo", attributes={"city": "a\0b", "size": 3}),
        replace(VISIT, lead="bo"),
    ]
    report = _send(store, given)
    assert report.added == 2
    assert _messages(report) == {
        0: "row 1: kind = 'dance': must be one of ['visit', 'webinar', 'email_click']",
        3: "row 4: lead = 'nobody': no such lead; send the lead first",
        4: "row 5: city = 'a\\x00b': contains a NUL character; "
        f"row 5: 'size': is no attribute; there are {sorted(AGREED.attribute_by_name)}",
        5: "row 6: lead = 'bo': no such lead; send the lead first",
    }
    assert [row[0] for row in _state(store)["leads"]] == ["ada"]


def test_an_empty_batch_does_nothing(store: Store) -> None:
    assert _send(store, []) == IngestReport(0, 0, {})


def test_what_the_definition_does_not_list_is_refused_by_the_definition_given(
    sqlite_store: Store,
) -> None:
    bare = Definition(name="bare")
    with sqlite_store.write() as connection:
        report = ingest(connection, A_DAY, bare, NOW)
    assert (report.added, sorted(report.problems)) == (1, [1, 2, 3])


def test_an_error_after_writing_leaves_nothing_of_the_batch(store: Store) -> None:
    with pytest.raises(KeyError), store.write() as connection:  # noqa: PT012
        ingest(connection, A_DAY, AGREED, NOW)
        raise KeyError
    assert not any(_state(store).values())


def test_batches_longer_than_a_statement_can_name_are_written_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHUNK", 3)
    many = [replace(ADA, lead=f"lead {i}") for i in range(10)]
    many += [replace(VISIT, lead=f"lead {i % 10}", occurred_at=NOW - i - 5) for i in range(25)]
    assert _send(store, many).added == 35
    assert _send(store, many).unchanged == 35
    with store.read() as connection:
        assert len(lead_keys(connection, [record.lead for record in many])) == 10


@pytest.mark.parametrize("lead", ["a\0b", "\ud800", "x" * 301, ""])
def test_asking_for_an_id_that_no_lead_can_have_finds_nothing(store: Store, lead: str) -> None:
    _send(store, [ADA])
    with store.write() as connection:
        assert list(lead_keys(connection, [lead, "ada"])) == ["ada"]
        with pytest.raises(NotFoundError):
            set_do_not_score(connection, lead, True)


def test_an_objection_to_scores_is_noted_and_taken_back(store: Store) -> None:
    _send(store, [ADA])
    for objected in (True, False):
        with store.write() as connection:
            set_do_not_score(connection, "ada", objected)
        assert _state(store)["leads"] == [("ada", objected)]


def test_eight_writers_of_the_same_facts_write_each_once(store: Store) -> None:
    """Their batches overlap and lie in different orders; what they report adds up."""
    everything = [
        replace(VISIT, lead=f"lead {i % 5}", occurred_at=NOW - i - 5, recorded_at=NOW - 1)
        for i in range(200)
    ]
    opening = [replace(ADA, lead=f"lead {i}") for i in range(5)]
    start = threading.Barrier(8)

    def send(worker: int) -> int:
        start.wait()
        added = 0
        for part in range(4):
            mine = everything[part * 50 : part * 50 + 50]
            turned = mine[worker * 6 :] + mine[: worker * 6]
            added += _send(store, [*opening, *(turned if worker % 2 else turned[::-1])]).added
        return added

    with ThreadPoolExecutor(8) as pool:
        added = sum(pool.map(send, range(8)))
    with store.read() as connection:
        found = counts(connection)
    assert (found["leads"], found["lead_versions"], found["events"]) == (5, 5, 200)
    assert added == 205


def test_of_two_writers_with_one_id_and_other_content_the_second_is_told(store: Store) -> None:
    _send(store, [ADA])
    second: list[IngestReport] = []
    other = replace(VISIT, kind="webinar", external_id="e1")
    writer = threading.Thread(target=lambda: second.append(_send(store, [other])))
    with store.write() as connection:
        ingest(connection, [replace(VISIT, external_id="e1")], AGREED, NOW)
        writer.start()
        writer.join(timeout=0.3)  # it waits for us, or has not begun: either way it is second
        assert not second
    writer.join()
    assert (second[0].added, second[0].unchanged, list(second[0].problems)) == (0, 0, [0])
    with store.read() as connection:
        assert connection.execute(select(events.c.kind)).scalars().all() == ["visit"]


def test_equal_content_has_an_equal_key_and_other_content_another() -> None:
    assert content_key("ada", 5, None) == content_key("ada", 5, None)
    different = [("ada", 5, None), ("ada", 5, "None"), ("ada", "5", None), ("ada5", None)]
    assert len({content_key(*parts) for parts in different}) == 4


_WRITER = """
import sys
from agreed import NOW, agreed
from features.facts import Event, LeadVersion
from features.store.engine import Store
from features.store.ingest import ingest

store, definition = Store(sys.argv[1]), agreed()
for batch in range(1_000):
    lead = f"lead {batch}"
    facts = [LeadVersion(lead=lead, occurred_at=NOW - 9, recorded_at=NOW - 9)]
    facts += [
        Event(lead=lead, kind="visit", occurred_at=NOW - i - 1, recorded_at=NOW)
        for i in range(500)
    ]
    with store.write() as connection:
        ingest(connection, facts, definition, NOW)
    print(batch, flush=True)
"""


def test_a_killed_writer_leaves_whole_batches_and_the_next_one_goes_on(
    store: Store, pytestconfig: pytest.Config
) -> None:
    root = pytestconfig.rootpath
    url = store.url.render_as_string(hide_password=False)
    environment = {"PYTHONPATH": f"{root}:{root / 'tests'}"}
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, url], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline() for _ in range(3)]
    writer.kill()
    rest = writer.stdout.read().splitlines()
    writer.stdout.close()
    assert writer.wait() == -9
    assert acknowledged == ["0\n", "1\n", "2\n"]
    _check_integrity(store)
    with store.read() as connection:
        sizes = connection.execute(
            select(func.count()).select_from(events).group_by(events.c.lead)
        ).scalars()
        whole = list(sizes)
        versions = connection.execute(select(func.count()).select_from(lead_versions)).scalar_one()
        known = connection.execute(select(func.count()).select_from(leads)).scalar_one()
    assert set(whole) == {500}
    assert len(whole) == versions == known
    assert len(whole) - 3 - len(rest) in (0, 1), "what was acknowledged is there"
    assert _send(store, A_DAY).added == 4


def _check_integrity(store: Store) -> None:
    if store.is_sqlite:
        connection = sqlite3.connect(Path(str(store.url.database)))
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()
