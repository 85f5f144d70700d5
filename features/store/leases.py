"""Who does this work now, so that nobody else does? One row a piece of work, held for a term, renewed.

A holder that dies renews no more, and its lease is free when its term is over. The database's clock is
asked, never a worker's: hosts disagree about the time, the workers of one database ask the same clock.
A lease renewed a term or more *after* the present instant was renewed before the clock was put back; it
is free too, else a clock that once ran days ahead would block the work for days. Whoever held it learns
so when renewing, and stops: work under a lease must bear being done twice, and asks `is_lost` between
its steps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    String,
    Table,
    or_,
    select,
    text,
)

from features.clock import SECOND, iso
from features.errors import BusyError, StoreError
from features.store.engine import Store
from features.store.ingest import insert_ignoring
from features.store.tables import Instant, metadata

Clock = Callable[[Connection], int]

TERM_SECONDS = 60.0
"""How long the work waits for a holder that died."""

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(300), nullable=False),
    Column("since", Instant, nullable=False),
    Column("renewed_at", Instant, nullable=False),
    Column("term", BigInteger, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds what: `since` and `renewed_at` are instants of the database's clock."""

    name: str
    holder: str
    since: int
    renewed_at: int


def database_clock(connection: Connection) -> int:
    """The present instant as the database tells it: to the microsecond, SQLite's to the millisecond."""
    is_sqlite = connection.dialect.name == "sqlite"
    return int(connection.execute(text(_SQLITE_NOW if is_sqlite else _POSTGRES_NOW)).scalar_one())


# Julian days, because SQLite before 3.42 knows no `unixepoch('subsec')`; their doubles hold 40 µs.
_SQLITE_NOW = "SELECT CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000"
_POSTGRES_NOW = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"


def take(connection: Connection, name: str, holder: str, now: int, seconds: float) -> Lease:
    """Take a lease that is free, or renew one's own.

    Args:
        connection: from `Store.write`.
        name: of the work.
        holder: who asks; no two may share a name.
        now: the present instant by the database's clock.
        seconds: how long it is held unless it is renewed.

    Returns:
        The lease as it stands now: the asker holds it when its `holder` is the one given.
    """
    term = round(seconds * SECOND)
    fresh = {"holder": holder, "since": now, "renewed_at": now, "term": term}
    mine = leases.c.holder == holder
    renewing = leases.update().where(leases.c.name == name, mine, ~_is_free(now))
    if connection.execute(renewing.values(renewed_at=now, term=term)).rowcount == 0:
        insert_ignoring(connection, leases, [{"name": name, **fresh}])
        freed = leases.update().where(leases.c.name == name, or_(mine, _is_free(now)))
        connection.execute(freed.values(**fresh))
    row = connection.execute(select(leases).where(leases.c.name == name)).one()
    return Lease(row.name, row.holder, row.since, row.renewed_at)


def renew(connection: Connection, name: str, holder: str, now: int) -> bool:
    """Hold a lease for another term; False when somebody else has taken it, or nobody holds it."""
    mine = leases.update().where(leases.c.name == name, leases.c.holder == holder)
    return connection.execute(mine.values(renewed_at=now)).rowcount == 1


def release(connection: Connection, name: str, holder: str) -> None:
    """Give one's own lease back; of somebody else's nothing changes."""
    connection.execute(leases.delete().where(leases.c.name == name, leases.c.holder == holder))


def held_by(connection: Connection, name: str, now: int) -> Lease | None:
    """Who holds a lease; None: nobody does, or the one who did has gone."""
    query = select(leases).where(leases.c.name == name, ~_is_free(now))
    row = connection.execute(query).first()
    return None if row is None else Lease(row.name, row.holder, row.since, row.renewed_at)


def _is_free(now: int) -> ColumnElement[bool]:
    """Whether the term is over, or began a term or more ahead of a clock that was put back."""
    begun, term = leases.c.renewed_at, leases.c.term
    return or_(begun + term <= now, begun - term >= now)


class Held:
    """A lease while it is held; `is_lost` when somebody else may do the work."""

    def __init__(self) -> None:
        self._lost = threading.Event()

    @property
    def is_lost(self) -> bool:
        """Whether the lease could not be renewed: the work has to stop."""
        return self._lost.is_set()

    def lose(self) -> None:
        """Note that the lease is no longer held."""
        self._lost.set()


@contextmanager
def holding(
    store: Store,
    name: str,
    holder: str,
    *,
    seconds: float = TERM_SECONDS,
    clock: Clock = database_clock,
) -> Iterator[Held]:
    """Hold a lease while something is done, renewing it three times a term in a thread of its own.

    Args:
        store: where leases are kept.
        name: of the work.
        holder: who does it; no two may share a name.
        seconds: the term.
        clock: tells the database's time.

    Raises:
        BusyError: somebody else does this work; says who, and since when.
    """
    with store.write() as connection:
        now = clock(connection)
        lease = take(connection, name, holder, now, seconds)
    if lease.holder != holder:
        raise BusyError(
            f"{name}: {lease.holder} is at it, since {iso(lease.since)}",
            hint=f"Wait for it; if it was killed, its lease ends {seconds:g} s after its last word.",
        )
    held, over = Held(), threading.Event()
    beat = threading.Thread(
        target=_renewing, args=(store, name, holder, seconds, clock, held, over), daemon=True
    )
    beat.start()
    try:
        yield held
    finally:
        over.set()
        beat.join()
        # A lease that cannot be given back ends by itself; what was done is done.
        with suppress(StoreError), store.write() as connection:
            release(connection, name, holder)


def _renewing(
    store: Store,
    name: str,
    holder: str,
    seconds: float,
    clock: Clock,
    held: Held,
    over: threading.Event,
) -> None:
    """Renew until it is over; a whole term without a renewal is a loss, whatever the reason."""
    missed = 0
    while not held.is_lost and not over.wait(seconds / 3):
        try:
            with store.write() as connection:
                is_mine = renew(connection, name, holder, clock(connection))
            missed = 0
        except StoreError:
            is_mine, missed = True, missed + 1
        if not is_mine or missed >= 3:
            held.lose()
