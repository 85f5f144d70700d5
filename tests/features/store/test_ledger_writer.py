"""Scores that wait together are written together, and what was acknowledged is there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import func, select, text

from features.errors import StoreError
from features.store import ledger as ledger_module
from features.store.engine import Store
from features.store.ledger import (
    QueueEntry,
    ScoreEntry,
    read_queue,
    read_score,
    record_scores,
    scores,
)
from features.store.ledger_writer import LedgerWriter


def entry(lead: str, probability: float = 0.25, as_of: int = 10) -> ScoreEntry:
    return ScoreEntry(
        lead=lead,
        as_of=as_of,
        scored_at=10,
        raw=-1.0,
        probability=probability,
        route="nurture",
        bundle="b" * 64,
        definition="d" * 64,
        inputs={"size": 1.5, "city": None},
        reasons=[],
    )


@contextmanager
def writing(
    store: Store, capacity: int = 10_000, is_durable: bool = True
) -> Iterator[LedgerWriter]:
    writer = LedgerWriter(store, capacity, is_durable)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()


def count(store: Store) -> int:
    with store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(scores)).scalar_one())


@pytest.mark.parametrize("is_durable", [True, False])
def test_each_gets_the_ids_of_its_own_scores(store: Store, is_durable: bool) -> None:
    before = count(store)
    with writing(store, is_durable=is_durable) as writer:
        given = [[entry(f"{i}", i / 1_000) for _ in range(i % 3 + 1)] for i in range(1, 60)]
        told = [writer.submit(some, [None] * len(some)) for some in given]
        ids = [one.result(20) for one in told]
    assert len({id_ for some in ids for id_ in some}) == sum(map(len, given))
    assert count(store) == before + sum(map(len, given))
    with store.read() as connection:
        for some, numbers in zip(given, ids, strict=True):
            for one, number in zip(some, numbers, strict=True):
                kept = read_score(connection, number)
                assert kept is not None
                assert (kept["lead_id"], kept["probability"]) == (one.lead, one.probability)


def test_a_durable_score_is_in_the_ledger_as_soon_as_its_id_is_known(store: Store) -> None:
    with writing(store) as writer:
        (number,) = writer.submit([entry("now")], [None]).result(20)
        with store.read() as connection:
            assert read_score(connection, number) is not None


def test_scores_that_wait_for_the_database_share_a_transaction(sqlite_store: Store) -> None:
    counting = Failing(sqlite_store)
    with writing(counting) as writer:  # type: ignore[arg-type]
        with sqlite_store.write():  # holds the only right to write
            told = [writer.submit([entry(f"{i}")], [None]) for i in range(50)]
        assert len({one.result(20)[0] for one in told}) == 50
    transactions = sum(counting.attempts.acquire(blocking=False) for _ in range(60))
    assert transactions <= 2, "those who came while the first waited are written by the second"


def test_ids_taken_by_several_writers_never_meet(store: Store) -> None:
    with writing(store) as one, writing(store, is_durable=False) as other:
        told = [w.submit([entry("x")], [None]) for _ in range(40) for w in (one, other)]
        with store.write() as connection:
            direct = record_scores(connection, [entry("y")] * 5, [None] * 5)
        ids = [told_.result(20)[0] for told_ in told]
    assert len({*ids, *direct}) == 85


@pytest.mark.parametrize("is_durable", [True, False])
def test_a_full_queue_refuses_and_what_waits_is_still_written(
    sqlite_store: Store, is_durable: bool
) -> None:
    with writing(sqlite_store, capacity=10, is_durable=is_durable) as writer:
        with sqlite_store.write():
            told = [writer.submit([entry(f"{i}")], [None]) for i in range(10)]
            with pytest.raises(StoreError, match="10 scores wait"):
                writer.submit([entry("one too many")], [None])
        assert all(one.result(20) for one in told)
    assert count(sqlite_store) == 10
    assert writer.waiting == 0


def test_what_waits_when_the_service_stops_is_written_and_nothing_more_is_taken(
    sqlite_store: Store,
) -> None:
    writer = LedgerWriter(sqlite_store, is_durable=False)
    writer.start()
    for i in range(500):
        writer.submit([entry(f"{i}")], [None])
    writer.stop()
    assert count(sqlite_store) == 500
    with pytest.raises(StoreError, match="stops"):
        writer.submit([entry("late")], [None])


class Failing:
    """A store whose writes fail while it is told to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.attempts = threading.Semaphore(0)
        self.fails = False

    @contextmanager
    def write(self) -> Iterator[object]:
        self.attempts.release()
        if self.fails:
            raise StoreError("the database failed: disk I/O error")
        with self._store.write() as connection:
            yield connection


def test_a_durable_score_that_cannot_be_written_is_an_error(sqlite_store: Store) -> None:
    failing = Failing(sqlite_store)
    with writing(failing) as writer:  # type: ignore[arg-type]
        failing.fails = True
        with pytest.raises(StoreError, match="disk I/O"):
            writer.submit([entry("lost")], [None]).result(20)
        failing.fails = False
        assert writer.submit([entry("found")], [None]).result(20)
    assert count(sqlite_store) == 1


def test_a_queued_score_is_written_when_the_database_is_back(sqlite_store: Store) -> None:
    failing = Failing(sqlite_store)
    with writing(failing, is_durable=False) as writer:  # type: ignore[arg-type]
        failing.attempts.acquire()
        failing.fails = True
        assert writer.submit([entry("patient", 0.125)], [None]).result(0)
        for _ in range(2):
            assert failing.attempts.acquire(timeout=20)
        assert count(sqlite_store) == 0
        failing.fails = False
    assert count(sqlite_store) == 1


def test_a_queued_score_that_can_never_be_written_is_logged(
    sqlite_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Failing(sqlite_store)
    with writing(failing, is_durable=False) as writer:  # type: ignore[arg-type]
        failing.attempts.acquire()
        failing.fails = True
        (number,) = writer.submit([entry("lost")], [None]).result(0)
    assert f"scores [{number}] were given and could not be written" in caplog.text


def test_a_row_that_the_database_refuses_takes_no_other_with_it(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = ledger_module._row

    def refusing(one: ScoreEntry, *rest: object) -> dict[str, object]:
        if one.lead == "poison":
            raise ValueError("no such row")
        return usual(one, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(ledger_module, "_row", refusing)
    with writing(sqlite_store) as writer:
        with sqlite_store.write():
            told = [writer.submit([entry(lead)], [None]) for lead in ("a", "poison", "b")]
        assert told[0].result(20)
        assert told[2].result(20)
        with pytest.raises(ValueError, match="no such row"):
            told[1].result(20)
    assert count(sqlite_store) == 2


def test_of_two_scores_of_a_lead_in_one_transaction_the_later_instant_is_in_the_queue(
    sqlite_store: Store,
) -> None:
    with sqlite_store.write() as connection:
        connection.execute(text("INSERT INTO leads (external_id) VALUES ('L')"))
        shown = QueueEntry(
            last_touch=None, owner=None, name=None, stage=None, kind="prospect", is_open=True
        )
        both = [entry("L", 0.75, as_of=20), entry("L", 0.5, as_of=10)]
        record_scores(connection, both, [shown, shown])
        (row,) = read_queue(connection).rows
    assert (row["probability"], row["as_of"]) == (0.75, 20)
