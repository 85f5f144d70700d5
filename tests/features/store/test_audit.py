"""Does the audit log miss nothing that was done to it, whoever writes at the same time?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from agreed import NOW
from sqlalchemy import Connection, delete, select, update
from stores import undone

from features.store.audit import (
    BEGINNING,
    Entry,
    head,
    links,
    log,
    newest,
    note,
    note_definition,
    verify,
)
from features.store.engine import Store


def _entry(i: int) -> Entry:
    return Entry(
        at=NOW + i, actor="anna", action="key_created", object=f"key {i}", detail={"role": "crm"}
    )


def _fill(store: Store, n: int = 5) -> None:
    for i in range(n):
        with store.write() as connection:
            note(connection, _entry(i))


def test_an_untouched_log_is_whole_and_tells_what_was_noted(store: Store) -> None:
    _fill(store)
    with store.read() as connection:
        verdict = verify(connection)
        found = list(links(connection))
    assert (verdict.entries, verdict.problems) == (5, ())
    assert [link.entry for link in found] == [_entry(i) for i in range(5)]
    assert verdict.head == found[-1].hash


def test_an_empty_log_is_whole(store: Store) -> None:
    with store.read() as connection:
        verdict = verify(connection)
    assert (verdict.entries, verdict.head, verdict.problems) == (0, BEGINNING, ())


def test_the_chain_can_be_recomputed_by_others_from_what_is_stored(store: Store) -> None:
    _fill(store)
    names = ("number", "at", "actor", "action", "object", "detail")
    previous = "0" * 64
    with store.read() as connection:
        for row in connection.execute(select(log).order_by(log.c.number)):
            said = [previous, *(row._mapping[name] for name in names)]
            previous = hashlib.sha256(json.dumps(said).encode()).hexdigest()
            assert row.hash == previous


def _edit(connection: Connection) -> None:
    connection.execute(update(log).where(log.c.number == 3).values(actor="ben"))


def _drop(connection: Connection) -> None:
    connection.execute(delete(log).where(log.c.number == 3))


def _drop_and_renumber(connection: Connection) -> None:
    _drop(connection)
    connection.execute(update(log).where(log.c.number == 4).values(number=3))
    connection.execute(update(log).where(log.c.number == 5).values(number=4))


def _drop_last(connection: Connection) -> None:
    connection.execute(delete(log).where(log.c.number == 5))


def _swap(connection: Connection) -> None:
    for old, new in ((2, 99), (3, 2), (99, 3)):
        connection.execute(update(log).where(log.c.number == old).values(number=new))


def _drop_all(connection: Connection) -> None:
    connection.execute(delete(log))


def _drop_head(connection: Connection) -> None:
    connection.execute(delete(head))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_edit, "entry 3: is not as it was written"),
        (_drop, "before entry 4: entries 3 to 3 lack"),
        (_drop_and_renumber, "entry 3: does not follow the one before it"),
        (_drop_last, "after entry 4: the chain does not end where its head says"),
        (_swap, "entry 2: does not follow the one before it"),
        (_drop_all, "after entry 0: the chain does not end where its head says"),
        (_drop_head, "after entry 5: the chain does not end where its head says"),
    ],
)
def test_what_was_done_to_the_log_is_found(
    store: Store, harm: Callable[[Connection], None], said: str
) -> None:
    _fill(store)
    with store.write() as connection:
        harm(connection)
    with store.read() as connection:
        assert said in verify(connection).problems


def test_eight_writers_at_once_make_one_chain(store: Store) -> None:
    def work(writer: int) -> None:
        for i in range(10):
            with store.write() as connection:
                note(connection, _entry(writer * 100 + i))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    with store.read() as connection:
        verdict = verify(connection)
        noted = sorted(link.entry.object for link in links(connection))
    assert (verdict.entries, verdict.problems) == (80, ())
    assert noted == sorted(f"key {w * 100 + i}" for w in range(8) for i in range(10))


def test_an_entry_goes_with_the_transaction_of_what_it_speaks_of(store: Store) -> None:
    _fill(store, 1)
    with undone(store) as connection:
        note(connection, _entry(1))
    _fill(store, 1)
    with store.read() as connection:
        verdict = verify(connection)
    assert (verdict.entries, verdict.problems) == (2, ())


def test_a_definition_is_noted_once_by_however_many_see_it(store: Store) -> None:
    def see(_: int) -> bool:
        with store.write() as connection:
            return note_definition(connection, "d" * 64, "service", NOW)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(see, range(8))) == [False] * 7 + [True]
    with store.write() as connection:
        assert note_definition(connection, "e" * 64, "service", NOW)
        last = newest(connection, "definition_changed")
    assert last is not None
    assert (last.object, last.detail) == ("e" * 64, {"before": "d" * 64})
