"""Whom must a database that was restored forget again? A small file beside the copies remembers it.

A copy is older than the erasures made since: it brings the persons back and knows nothing of their
tombstones. So all tombstones, and the secret without which they refuse nobody, are also written to one
file after each erasure and each backup; a restore takes them from there and erases again. The file tells
no more of whom was erased than the database does: who has it can test whether a given id was.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, select, union

from features.store.audit import log as audit_log
from features.store.backup import DATABASE, Copy, copies_before, restore
from features.store.consent import OF_LEADS, alone, erased, lead_hash, own_secrets, tombstones
from features.store.engine import Store
from features.store.erasure import compact, erase
from features.store.idempotency import forget_buried, requests
from features.store.ingest import insert_ignoring
from features.store.ledger import scores
from features.store.migrate import revisions, upgrade
from features.store.pull.watermarks import waiting
from features.store.tables import leads
from features.store.tombstone_file import FILE, Tombstones, keep, read
from features.store.trials import trials


def known(connection: Connection) -> Tombstones:
    """Whom this database knows to be erased."""
    query = select(own_secrets.c.secret).where(own_secrets.c.name == OF_LEADS)
    rows = connection.execute(select(tombstones))
    return Tombstones(connection.execute(query).scalar(), {row.hash: row.erased_at for row in rows})


def remember(store: Store, home: Path) -> Path | None:
    """Write whom the database knows to be erased into the file, beside whom the file knows.

    Returns:
        Where a file is now that was in its place and not ours; None: there was none.

    Raises:
        StoreError: the file cannot be read or written.
    """
    with store.write() as connection:
        alone(connection)  # of two who write it, the later one has seen the erasure of the other
        here = known(connection)
        return keep(home / FILE, here) if here.erased_at else None


def copies_left(store: Store, home: Path, lead_id: str, now: int) -> list[Copy]:
    """Which daily copies may still hold somebody who was erased."""
    with store.read() as connection:
        return copies_before(home, lead_hash(connection, lead_id), now)


def forget_again(connection: Connection, told: Tombstones, *, by: str, now: int) -> int:
    """Take tombstones in, and erase whoever has one and is here; how many leads that were.

    Args:
        connection: from `Store.write`.
        told: whom this installation has erased, as remembered elsewhere.
        by: who asks; for the audit log.
        now: the present instant.

    Raises:
        ConflictError: they are of another installation.
    """
    alone(connection)
    if not _is_secret_used(connection):
        # It was made when a copy without one was upgraded: the one that was in use then takes its place.
        connection.execute(delete(own_secrets).where(own_secrets.c.name == OF_LEADS))
    known(connection).with_others(told)
    if told.secret is not None:
        insert_ignoring(connection, own_secrets, [{"name": OF_LEADS, "secret": told.secret}])
    rows = [{"hash": h, "erased_at": at} for h, at in sorted(told.erased_at.items())]
    insert_ignoring(connection, tombstones, rows)
    gone = sorted(erased(connection, _named(connection)))
    for lead_id in gone:  # of several that were one person each has a tombstone
        erase(connection, lead_id, by=by, now=now, with_parts=False)
    forget_buried(connection)
    return len(gone)


def _is_secret_used(connection: Connection) -> bool:
    """Whether anything is here that only the present secret tells the meaning of."""
    objected = select(audit_log.c.object).where(audit_log.c.action.startswith("objection_"))
    uses = (select(tombstones), select(requests), select(trials), objected)
    return any(connection.execute(query.limit(1)).first() is not None for query in uses)


def restore_without_erased(
    place: Path, database: Path, definition: Path, home: Path, *, by: str, now: int
) -> int:
    """Restore a copy as `features.store.backup.restore` does, without whom was erased since.

    Tombstones come from the file beside the copy, from this installation's own, and from the copies
    beside it. With any, the copy is brought to the present revision. Whom it is to forget is gone
    before it is anybody's database.

    Args:
        place: the backup's directory.
        database: where the SQLite file goes.
        definition: where the lead definition goes, unless there is one.
        home: the directory of this installation's daily copies.
        by: who asks; for the audit log.
        now: the present instant.

    Returns:
        How many leads were erased again.

    Raises:
        NotFoundError: there is no whole backup at `place`.
        ConflictError: there is a database already, or tombstones are of another installation.
        StoreError: the backup, or what is remembered of erasures, is damaged.
    """
    place = place.resolve()  # or what lies beside `.` would be looked for inside it
    told = read(place.parent / FILE).with_others(read(home / FILE))
    told = _with_copies(told, place)
    again = 0

    def amend(copy: Path) -> None:
        nonlocal again
        if not told.erased_at:
            return
        store = Store(f"sqlite:///{copy}")
        try:
            again = _amended(store, told, by, now)
            remember(store, home)
        finally:
            store.close()
        with closing(sqlite3.connect(copy)) as alone_there:
            alone_there.execute("PRAGMA journal_mode = DELETE")

    restore(place, database, definition, amend)
    return again


def _amended(store: Store, told: Tombstones, by: str, now: int) -> int:
    present, newest = revisions(store)
    if present != newest:
        upgrade(store)
    with store.write() as connection:
        again = forget_again(connection, told, by=by, now=now)
    if again:
        compact(store)
    return again


def _with_copies(told: Tombstones, place: Path) -> Tombstones:
    """Also whom a copy knows to be erased, and the copies beside it that are of its installation."""
    told = _of_copy(place / DATABASE).with_others(told)
    beside = [_of_copy(path) for path in sorted(place.parent.glob(f"*/{DATABASE}"))]
    secrets = {one.secret for one in beside} - {None}
    if told.secret is None and len(secrets) > 1:
        return told  # nobody can tell which of them are its own
    for one in beside:
        if told.secret in (None, one.secret):
            told = told.with_others(one)
    return told


def _of_copy(database: Path) -> Tombstones:
    """Whom a copy knows to be erased; nobody where it cannot be read or is too old to know any."""
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as copy:
            query = "SELECT secret FROM own_secrets WHERE name = ?"
            row: Any = copy.execute(query, (OF_LEADS,)).fetchone()
            stones = copy.execute("SELECT hash, erased_at FROM tombstones").fetchall()
    except sqlite3.Error:
        return Tombstones()
    return Tombstones(row[0] if row else None, dict(stones))


def _named(connection: Connection) -> set[str]:
    """Every lead that is named anywhere."""
    strangers = select(scores.c.lead_id).where(scores.c.lead.is_(None), scores.c.lead_id != "")
    everybody = union(select(leads.c.external_id), strangers, select(waiting.c.lead_id))
    return set(connection.execute(everybody).scalars())
