"""What is in a store, apart from our own keys; and how is it copied, or left as it was?"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Table, select

from features.store.engine import Store
from features.store.outcomes import deals
from features.store.tables import answers, events, lead_versions, leads, stages

FACT_TABLES = (lead_versions, answers, events, stages, deals)


class _UndoError(Exception):
    """Rolls a test's writing back."""


@contextmanager
def undone(store: Store) -> Iterator[Connection]:
    """A writing connection whose work is undone at the end: many examples share one database."""
    try:
        with store.write() as connection:
            yield connection
            raise _UndoError
    except _UndoError:
        pass


def state(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    """All leads and facts in an order of their own, by table, without the keys we gave them."""
    known = [(row.external_id, row.do_not_score) for row in connection.execute(select(leads))]
    return {"leads": sorted(known), **{t.name: _rows(connection, t) for t in FACT_TABLES}}


def copy_installation(home: Path, target: Path) -> None:
    """Copy a data directory in which nobody writes; others may look at its databases meanwhile.

    The files that SQLite keeps beside a database come and go with whoever opens it: what they hold is
    put into the database before, and they are left out.
    """
    for database in home.glob("*.db"):
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(home, target, ignore=shutil.ignore_patterns("*-wal", "*-shm"))


def counts(connection: Connection) -> dict[str, int]:
    """How many leads and facts there are, by table."""
    return {name: len(rows) for name, rows in state(connection).items()}


def _rows(connection: Connection, table: Table) -> list[tuple[object, ...]]:
    columns = [column for column in table.c if column.name not in ("id", "lead")]
    query = select(leads.c.external_id, *columns).join(leads, leads.c.id == table.c.lead)
    return sorted((tuple(row) for row in connection.execute(query)), key=repr)
