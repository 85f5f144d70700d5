"""Is nothing left of an erased person, and does nobody bring the person back?"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from agreed import NOW, agreed
from sqlalchemy import Connection, select, text
from stores import state, undone

from features.clock import DAY
from features.errors import NotFoundError, StoreError
from features.facts import Answer, Event, LeadVersion, Record, StageChange
from features.store.audit import links, verify
from features.store.consent import ERASED, erased, tombstones
from features.store.engine import Store
from features.store.erasure import compact, erase, flush, forget_in_files
from features.store.exposure import Shown, record_shown, shown
from features.store.files.rejects import Rejects
from features.store.files.tables import Row
from features.store.history import profiles
from features.store.idempotency import Answer as Reply
from features.store.idempotency import Claim, claim, finish
from features.store.ingest import ingest, set_do_not_score
from features.store.ledger import QueueEntry, ScoreEntry, current, record_scores, scores
from features.store.outcomes import Deal
from features.store.pull.watermarks import keep_waiting, waiting
from features.store.recording import record_deals
from features.store.schema import metadata

AGREED = agreed()
LEAD, OTHER = "Xaverine-Quxenbach", "bo"
NAME = "Zyprian Quxenbach"
AGO = NOW - 9 * DAY
TIMES = {"occurred_at": AGO, "recorded_at": AGO}


def _facts(lead: str) -> list[Record]:
    return [
        LeadVersion(lead=lead, name=NAME, owner="anna", attributes={"city": NAME}, **TIMES),
        Answer(lead=lead, question="pain", answer="Some", external_id=f"a {lead}", **TIMES),
        Event(lead=lead, kind="visit", external_id=f"e {lead}", **TIMES),
        StageChange(lead=lead, stage="qualified", external_id=f"s {lead}", **TIMES),
    ]


def _deal(lead: str) -> Deal:
    return Deal(lead=lead, ending="won", reason=NAME, external_id=f"d {lead}", **TIMES)


def _late_deal(lead: str) -> Deal:
    """One that came before its lead, and was not pulled again since."""
    return replace(_deal(lead), external_id=f"w {lead}", source="crm")


def _score(lead: str, channel: str = "api") -> ScoreEntry:
    return ScoreEntry(
        lead=lead,
        as_of=NOW - 1,
        scored_at=NOW,
        raw=-0.123456789,
        probability=0.3412345,
        route="nurture",
        bundle="b" * 64,
        definition="d" * 64,
        inputs={"attr_city": NAME},
        reasons=[{"words": NAME}],
        warnings=[f"{NAME} is new"],
        channel=channel,
        request_id=f"r-{lead}",
    )


PLACE = QueueEntry(
    last_touch=AGO, owner="anna", name=NAME, stage="qualified", kind="prospect", is_open=True
)


def _fill(store: Store, *leads: str) -> None:
    with store.write() as connection:
        ingest(connection, [fact for lead in leads for fact in _facts(lead)], AGREED, NOW)
        record_deals(connection, [_deal(lead) for lead in leads], AGREED, NOW)
        entries = [_score(lead) for lead in leads]
        ids = record_scores(connection, entries, [PLACE] * len(leads))
        for lead, score in zip(leads, ids, strict=True):
            assert score is not None
            place = Shown(lead=lead, score=score, at=NOW, list=lead, rank=1, channel="page")
            record_shown(connection, [place])
        keep_waiting(connection, [_late_deal(lead) for lead in leads], NOW)
    for lead in leads:
        with store.write() as connection:
            mine = claim(connection, "key crm", f"k-{lead}", "f", [lead], NOW)
            assert isinstance(mine, Claim)
            finish(connection, mine, Reply(200, "application/json", f'{{"lead":"{lead}"}}'))


def _erase(store: Store, lead: str = LEAD) -> dict[str, int]:
    with store.write() as connection:
        return erase(connection, lead, by="admin", now=NOW).to_json()


def _everything(connection: Connection) -> str:
    """Every cell of every table."""
    cells = []
    for table in metadata.sorted_tables:
        cells += [str(tuple(row)) for row in connection.execute(select(table))]
    return "\n".join(cells)


def test_nothing_that_names_or_describes_the_person_is_left_in_any_table(store: Store) -> None:
    _fill(store, LEAD)
    with store.read() as connection:
        for table in (shown, waiting):
            assert LEAD in str(connection.execute(select(table)).all())
        assert NAME in _everything(connection)
    # The deal closes the lead: a stage change more.
    assert _erase(store) == {
        "lead_versions": 1,
        "answers": 1,
        "events": 1,
        "stages": 2,
        "deals": 1,
        "waiting": 1,
        "scores": 1,
        "replies": 1,
    }
    with store.read() as connection:
        left = _everything(connection)
    assert LEAD not in left
    assert "Quxenbach" not in left


def test_others_are_not_touched(store: Store) -> None:
    _fill(store, OTHER)
    with store.read() as connection:
        before = state(connection)
        log = connection.execute(select(scores).order_by(scores.c.id)).all()
    _fill(store, LEAD)
    _erase(store)
    with store.read() as connection:
        assert state(connection) == before
        assert connection.execute(select(scores).order_by(scores.c.id)).all()[:1] == log
        assert len(connection.execute(select(current)).all()) == 1


def test_of_a_score_a_coarse_figure_is_left_that_is_nobodys(store: Store) -> None:
    _fill(store, LEAD)
    _erase(store)
    with store.read() as connection:
        (row,) = connection.execute(select(scores)).all()
    assert (row.lead, row.lead_id, row.request_id) == (None, "", None)
    assert (row.raw, row.probability, row.route) == (-0.12, 0.34, "nurture")
    assert row.scored_at % DAY == row.as_of % DAY == 0
    assert (row.inputs, row.reasons, row.warnings, row.inputs_hash) == ("{}", "[]", "[]", "")


def test_an_erased_lead_is_refused_however_its_facts_come(store: Store) -> None:
    _fill(store, LEAD, OTHER)
    _erase(store)
    with store.write() as connection:
        before = state(connection)
        report = ingest(connection, [*_facts(LEAD), *_facts(OTHER)], AGREED, NOW)
        assert sorted(report.problems) == [0, 1, 2, 3]
        assert {p.message for found in report.problems.values() for p in found} == {ERASED}
        closed = record_deals(connection, [_deal(LEAD)], AGREED, NOW)
        assert [p.message for p in closed.problems[0]] == [ERASED]
        assert record_scores(connection, [_score(LEAD, "payload")], [None]) == [None]
        assert state(connection) == before
        assert connection.execute(select(scores).where(scores.c.lead_id == LEAD)).all() == []


def test_erasing_again_changes_nothing_and_a_stranger_is_not_there(store: Store) -> None:
    _fill(store, LEAD)
    _erase(store)
    assert not any(_erase(store).values())
    with pytest.raises(NotFoundError):
        _erase(store, "nobody")
    with store.read() as connection:
        assert erased(connection, ["nobody", LEAD]) == {LEAD}


def test_erasing_again_takes_what_came_to_be_there_since(store: Store) -> None:
    """As older versions let a pull write it."""
    _fill(store, LEAD)
    _erase(store)
    with store.write() as connection:
        keep_waiting(connection, [_late_deal(LEAD)], NOW)
        mine = claim(connection, "key crm", "late", "f", [LEAD], NOW)
        assert isinstance(mine, Claim)
        finish(connection, mine, Reply(200, "application/json", NAME))
    found = {name: n for name, n in _erase(store).items() if n}
    assert found == {"waiting": 1, "replies": 1}
    with store.read() as connection:
        left = _everything(connection)
        assert verify(connection).problems == ()
        assert [link.entry.action for link in links(connection)] == ["lead_erased"] * 2
    assert "Quxenbach" not in left
    assert not any(_erase(store).values())


def test_a_person_of_whom_only_a_deal_waits_can_be_erased(store: Store) -> None:
    with store.write() as connection:
        keep_waiting(connection, [_late_deal(LEAD), _late_deal(OTHER)], NOW)
    assert _erase(store)["waiting"] == 1
    with store.read() as connection:
        assert list(connection.execute(select(waiting.c.lead_id)).scalars()) == [OTHER]
        assert erased(connection, [LEAD, OTHER]) == {LEAD}


def test_a_lead_that_only_requests_described_can_be_erased_and_no_other_is(store: Store) -> None:
    with store.write() as connection:
        given = [_score(lead, "payload") for lead in (LEAD, OTHER)]
        record_scores(connection, given, [None, None])
    assert _erase(store)["scores"] == 1
    with store.read() as connection:
        names = connection.execute(select(scores.c.lead_id).order_by(scores.c.id)).scalars()
        assert list(names) == ["", OTHER]
        assert LEAD not in _everything(connection)


def test_the_audit_log_stays_whole_and_does_not_name_the_lead(store: Store) -> None:
    _fill(store, LEAD)
    _erase(store)
    with store.read() as connection:
        assert verify(connection).problems == ()
        (link,) = links(connection)
        (stone,) = connection.execute(select(tombstones.c.hash)).scalars()
    assert (link.entry.actor, link.entry.action) == ("admin", "lead_erased")
    assert link.entry.object == stone


def test_a_tombstone_is_another_in_every_installation(store: Store, tmp_path: Path) -> None:
    """Without the installation's own key, a table of hashed ids would tell who was erased."""
    import hashlib

    _fill(store, LEAD)
    _erase(store)
    with store.read() as connection:
        (stone,) = connection.execute(select(tombstones.c.hash)).scalars()
    assert stone != hashlib.sha256(LEAD.encode()).hexdigest()


def _bytes(database: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(database.parent.glob(f"{database.name}*")))


@pytest.mark.parametrize("finish_by", [flush, compact])
def test_not_one_byte_of_the_name_is_left_in_the_sqlite_files(
    sqlite_store: Store, finish_by: object
) -> None:
    assert callable(finish_by)
    database = Path(str(sqlite_store.url.database))
    _fill(sqlite_store, LEAD, *(f"lead-{i}" for i in range(60)))
    for i in range(20, 40):  # pages are split and joined
        with sqlite_store.write() as connection:
            connection.execute(text("DELETE FROM current_scores WHERE lead = :l"), {"l": i})
    for i in range(60):
        _erase(sqlite_store, f"lead-{i}")
    assert LEAD.encode() in _bytes(database)
    _erase(sqlite_store)
    finish_by(sqlite_store)
    left = _bytes(database)
    assert b"Quxenbach" not in left
    assert b"lead-7" not in left


def test_rows_of_the_lead_leave_the_files_of_rejected_rows(tmp_path: Path) -> None:
    path = tmp_path / "leads.csv.rejects.csv"
    rows = "\ufeffline,problems,id,name\r\n2,bad,{lead},{name}\r\n3,bad,bo,Bo\r\n"
    path.write_bytes(rows.format(lead=LEAD, name=NAME).encode())
    (tmp_path / "other.rejects.csv").write_text("", encoding="utf-8")
    assert forget_in_files(tmp_path, LEAD) == 1
    assert path.read_bytes().decode() == "\ufeffline,problems,id,name\r\n3,bad,bo,Bo\r\n"
    assert forget_in_files(tmp_path, LEAD) == 0
    assert forget_in_files(tmp_path / "none", LEAD) == 0


def test_an_id_that_a_spreadsheet_would_run_is_found_among_the_rejects(tmp_path: Path) -> None:
    path = tmp_path / "leads.rejects.csv"
    with Rejects(path, ["id", "name"]) as rejects:
        rejects.add(Row(1, 2, ["=Quxenbach", NAME]), [])
    assert NAME in path.read_text(encoding="utf-8-sig")
    assert forget_in_files(tmp_path, "=Quxenbach") == 1
    assert NAME not in path.read_text(encoding="utf-8-sig")


@pytest.mark.parametrize("tail", ["=" + "x" * 131_071, "\xff"], ids=["too long", "not UTF-8"])
def test_rejects_that_cannot_be_read_go_as_a_whole(tmp_path: Path, tail: str) -> None:
    path = tmp_path / "leads.rejects.csv"
    with Rejects(path, ["id", "name"]) as rejects:
        rejects.add(Row(1, 2, [LEAD, NAME]), [])
        rejects.add(Row(2, 3, ["bo", tail]), [])
    path.write_bytes(path.read_bytes().replace("\xff".encode(), b"\xff"))
    assert forget_in_files(tmp_path, LEAD) == 2
    assert not path.exists()


@contextmanager
def _in_another_thread(store: Store, work: object) -> Iterator[threading.Event]:
    """Work in a transaction of another thread that ends when the event is set."""
    assert callable(work)
    begun, end = threading.Event(), threading.Event()

    def run() -> None:
        with store.write() as connection:
            work(connection)
            begun.set()
            assert end.wait(20)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        assert begun.wait(20)
        yield end
        end.set()
        running.result()


def test_an_erasure_waits_for_a_writer_and_takes_what_it_wrote(postgres_store: Store) -> None:
    _fill(postgres_store, LEAD)
    late = Event(lead=LEAD, kind="visit", external_id="late", **TIMES)
    with (
        ThreadPoolExecutor(1) as pool,
        _in_another_thread(
            postgres_store, lambda connection: ingest(connection, [late], AGREED, NOW)
        ) as end,
    ):
        erasing = pool.submit(_erase, postgres_store)
        with pytest.raises(TimeoutError):
            erasing.result(0.3)
        end.set()
        assert erasing.result(20)["events"] == 2


def test_a_writer_waits_for_an_erasure_and_is_refused(postgres_store: Store) -> None:
    _fill(postgres_store, LEAD)

    def write() -> int:
        with postgres_store.write() as connection:
            return len(ingest(connection, _facts(LEAD), AGREED, NOW).problems)

    with (
        ThreadPoolExecutor(1) as pool,
        _in_another_thread(
            postgres_store, lambda connection: erase(connection, LEAD, by="admin", now=NOW)
        ) as end,
    ):
        writing = pool.submit(write)
        with pytest.raises(TimeoutError):
            writing.result(0.3)
        end.set()
        assert writing.result(20) == 4


def test_no_score_is_written_after_an_objection(store: Store) -> None:
    """The score was computed before the objection, and comes to be written after it."""
    _fill(store, LEAD, OTHER)
    with store.write() as connection:
        set_do_not_score(connection, LEAD, True)
    with store.write() as connection:
        ids = record_scores(connection, [_score(LEAD), _score(OTHER)], [PLACE, PLACE])
        assert ids[0] is None
        assert ids[1] is not None
        assert len(connection.execute(select(scores)).all()) == 3
        assert record_scores(connection, [_score(LEAD)], [PLACE]) == [None]


def test_an_objection_waits_for_the_scores_that_are_being_written(postgres_store: Store) -> None:
    _fill(postgres_store, LEAD)

    def object_() -> None:
        with postgres_store.write() as connection:
            set_do_not_score(connection, LEAD, True)

    with (
        ThreadPoolExecutor(1) as pool,
        _in_another_thread(
            postgres_store, lambda connection: record_scores(connection, [_score(LEAD)], [PLACE])
        ) as end,
    ):
        objecting = pool.submit(object_)
        with pytest.raises(TimeoutError):
            objecting.result(0.3)
        end.set()
        objecting.result(20)
    with postgres_store.read() as connection:
        assert profiles(connection, [LEAD])[LEAD].do_not_score


def test_an_erasure_that_fails_leaves_everything(sqlite_store: Store) -> None:
    _fill(sqlite_store, LEAD)
    with sqlite_store.read() as connection:
        before = _everything(connection)
    with undone(sqlite_store) as connection:
        erase(connection, LEAD, by="admin", now=NOW)
    with sqlite_store.read() as connection:
        assert _everything(connection) == before


def test_a_file_that_somebody_writes_to_is_not_written_anew_and_it_is_said_so(
    sqlite_store: Store,
) -> None:
    _fill(sqlite_store, LEAD)
    _erase(sqlite_store)
    impatient = Store(str(sqlite_store.url))
    with impatient.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute("PRAGMA busy_timeout = 1")
    with sqlite_store.write(), pytest.raises(StoreError, match="it is erased, but"):
        compact(impatient)
    impatient.close()
    compact(sqlite_store)
