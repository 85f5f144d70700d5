"""Who did what, when, to what? An append-only log in which every entry's hash covers the one before.

An entry that was edited, dropped or put elsewhere breaks the chain, and `verify` says where. The head of
the chain is kept beside it and is locked by whoever appends, so that writers come one after another and
an entry dropped at the end is missed too. Who can write to the whole database can forge a whole chain:
note the head elsewhere (`propensity audit verify` prints it). Leads are named by keyed hash alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Connection, Integer, String, Table, Text, select
from sqlalchemy.dialects import postgresql, sqlite

from features.store.tables import BigId, Instant, metadata

log = Table(
    "audit_log",
    metadata,
    Column("number", BigId, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("actor", String(300), nullable=False),
    Column("action", String(64), nullable=False),
    Column("object", String(300), nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

head = Table(
    "audit_head",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("number", BigId, nullable=False),
    Column("hash", String(64), nullable=False),
)

BEGINNING = "0" * 64
"""What the first entry's hash covers in place of one before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that was done.

    Attributes:
        at: when.
        actor: who: a key's or a person's name, or a login name on the command line.
        action: what, as a short name such as `key_created`.
        object: to what: a name, a model's digest, a lead's keyed hash.
        detail: figures and choices, as plain JSON values; nothing personal.
    """

    at: int
    actor: str
    action: str
    object: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """An entry in its place: its number from 1, and the hashes that chain it."""

    number: int
    entry: Entry
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the whole chain found: `problems` in words, none when it is whole.

    `head` is the last entry's hash, to be noted where who can write here cannot.
    """

    entries: int
    head: str
    problems: tuple[str, ...] = ()


def note(connection: Connection, entry: Entry) -> None:
    """Append an entry, in the transaction of what it speaks of."""
    number, previous = _head(connection)
    detail = _canonical(entry.detail)
    cells = (number + 1, entry.at, entry.actor, entry.action, entry.object, detail)
    row = dict(zip(_COLUMNS, cells, strict=True))
    row |= {"previous": previous, "hash": _hash(previous, *cells)}
    connection.execute(log.insert(), [row])
    connection.execute(head.update().values(number=number + 1, hash=row["hash"]))


def links(connection: Connection, *, after: int = 0) -> Iterator[Link]:
    """The entries with a number above `after`, oldest first."""
    for row in connection.execute(select(log).where(log.c.number > after).order_by(log.c.number)):
        entry = Entry(
            at=row.at,
            actor=row.actor,
            action=row.action,
            object=row.object,
            detail=json.loads(row.detail),
        )
        yield Link(row.number, entry, row.previous, row.hash)


def verify(connection: Connection) -> Verdict:
    """Look whether every entry is there, as it was written, where it was written."""
    previous, last, entries = BEGINNING, 0, 0
    problems = []
    for row in connection.execute(select(log).order_by(log.c.number)):
        if row.number != last + 1:
            problems.append(
                f"before entry {row.number}: entries {last + 1} to {row.number - 1} lack"
            )
        elif row.previous != previous:
            problems.append(f"entry {row.number}: does not follow the one before it")
        if _hash(row.previous, *(row._mapping[name] for name in _COLUMNS)) != row.hash:
            problems.append(f"entry {row.number}: is not as it was written")
        previous, last, entries = row.hash, row.number, entries + 1
    known = connection.execute(select(head.c.number, head.c.hash)).first()
    if (last, previous) != ((known.number, known.hash) if known else (0, BEGINNING)):
        problems.append(f"after entry {last}: the chain does not end where its head says")
    return Verdict(entries, previous, tuple(problems))


def newest(connection: Connection, action: str) -> Entry | None:
    """The last entry of an action; None when there is none."""
    query = select(log).where(log.c.action == action).order_by(log.c.number.desc()).limit(1)
    row = connection.execute(query).first()
    if row is None:
        return None
    detail = json.loads(row.detail)
    return Entry(at=row.at, actor=row.actor, action=action, object=row.object, detail=detail)


def wait_for_others(connection: Connection) -> None:
    """Wait until whoever is noting something has committed it, and keep others waiting as long."""
    _head(connection)


def note_definition(connection: Connection, definition_hash: str, actor: str, now: int) -> bool:
    """Note that another lead definition is in force, once however many processes see it.

    Returns:
        Whether it was news.
    """
    wait_for_others(connection)
    last = newest(connection, _DEFINITION)
    if last is not None and last.object == definition_hash:
        return False
    before = None if last is None else last.object
    note(
        connection,
        Entry(
            at=now,
            actor=actor,
            action=_DEFINITION,
            object=definition_hash,
            detail={"before": before},
        ),
    )
    return True


_DEFINITION = "definition_changed"
_COLUMNS = ("number", "at", "actor", "action", "object", "detail")


def _head(connection: Connection) -> tuple[int, str]:
    """Number and hash of the last entry, locked until the transaction ends."""
    query = select(head.c.number, head.c.hash).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        first = {"one": 1, "number": 0, "hash": BEGINNING}
        connection.execute(dialect.insert(head).on_conflict_do_nothing(), [first])
        row = connection.execute(query).one()
    return int(row.number), str(row.hash)


def _hash(previous: str, *cells: object) -> str:
    return hashlib.sha256(_canonical([previous, *cells]).encode()).hexdigest()


def _canonical(content: Any) -> str:
    return json.dumps(content, ensure_ascii=True, allow_nan=False, sort_keys=True)
