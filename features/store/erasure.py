"""How is a person forgotten? Everything that names or describes the lead goes; a tombstone stays.

Facts, deals, the place in the queue and kept answers are deleted. What is left of a score is that some
lead got it: no id, no inputs, no reasons, the figures too coarse and the times too long to find the
person by (docs/decisions/0025). All of it is one transaction; what lies outside the database
(`forget_in_files`, `compact`) is done after it and can be done again.
"""

from __future__ import annotations

import csv
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Table, delete, or_, select, update

from features.clock import DAY
from features.errors import NotFoundError, StoreError
from features.spreadsheets import guarded
from features.store.audit import Entry, note
from features.store.consent import alone, bury, erased, lead_hash
from features.store.engine import Store
from features.store.exposure import shown
from features.store.idempotency import forget_lead
from features.store.ledger import current, scores
from features.store.merges import forget_merges, parts_of
from features.store.outcomes import deals
from features.store.pull.watermarks import waiting
from features.store.sharing import directory, open_here, open_private
from features.store.tables import answers, events, lead_versions, leads, stages

_FACTS: tuple[Table, ...] = (lead_versions, answers, events, stages, deals)
_COARSE = 2
"""Decimals that a score's figures keep: 0.34 is one of many, 0.34127734 is one person."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What was deleted: rows by table, deals that waited for the lead, `replies` that were kept.

    `scores` were made anonymous.
    """

    facts: Mapping[str, int]
    waiting: int
    scores: int
    replies: int

    def __bool__(self) -> bool:
        """Whether there was anything to delete."""
        return any(self.to_json().values())

    def __add__(self, other: Erased) -> Erased:
        """What was deleted of both."""
        facts = {name: n + other.facts[name] for name, n in self.facts.items()}
        return Erased(
            facts,
            self.waiting + other.waiting,
            self.scores + other.scores,
            self.replies + other.replies,
        )

    def to_json(self) -> dict[str, int]:
        """Counts only."""
        of_others = {"waiting": self.waiting, "scores": self.scores, "replies": self.replies}
        return {**self.facts, **of_others}


def erase(
    connection: Connection, lead_id: str, *, by: str, now: int, with_parts: bool = True
) -> Erased:
    """Forget a lead, and refuse it from now on; again, only what has come to be there since goes.

    Args:
        connection: from `Store.write`.
        lead_id: the lead's external id.
        by: who asks; for the audit log.
        now: the present instant.
        with_parts: what became one with this lead is the same person, and goes too; a database that was
            restored may hold a merge that has been taken back since.

    Raises:
        NotFoundError: nothing is known of such a lead, and nothing was erased.
    """
    alone(connection)
    key = connection.execute(select(leads.c.id).where(leads.c.external_id == lead_id)).scalar()
    # Scores of leads that only requests described have no key, and each is another's.
    of_lead = scores.c.lead_id == lead_id
    of_lead = of_lead if key is None else or_(of_lead, scores.c.lead == key)
    score_ids = list(connection.execute(select(scores.c.id).where(of_lead)).scalars())
    others = parts_of(connection, key) if with_parts else []
    parts = [erase(connection, name, by=by, now=now) for name in others]
    waited = connection.execute(delete(waiting).where(waiting.c.lead_id == lead_id)).rowcount
    anonymous = _anonymise(connection, score_ids)
    facts = _forget_facts(connection, key)
    done = Erased(facts, waited, anonymous, forget_lead(connection, lead_id))
    if key is None and not done and not erased(connection, [lead_id]):
        raise NotFoundError("there is no such lead", hint="Was its id written as in the CRM?")
    if key is not None or done:
        bury(connection, lead_id, now)
        named = lead_hash(connection, lead_id)
        entry = Entry(at=now, actor=by, action="lead_erased", object=named, detail=done.to_json())
        note(connection, entry)
    return sum(parts, done)


def _forget_facts(connection: Connection, key: int | None) -> dict[str, int]:
    """Delete a lead and all that is recorded of it; how many facts, by table."""
    if key is None:
        return {table.name: 0 for table in _FACTS}
    connection.execute(delete(current).where(current.c.lead == key))
    connection.execute(delete(shown).where(shown.c.lead == key))
    forget_merges(connection, key)
    facts = {
        table.name: connection.execute(delete(table).where(table.c.lead == key)).rowcount
        for table in _FACTS
    }
    connection.execute(delete(leads).where(leads.c.id == key))
    return facts


def _anonymise(connection: Connection, ids: Sequence[int]) -> int:
    """Leave of these scores what does not tell whose they were."""
    query = select(
        scores.c.id, scores.c.raw, scores.c.probability, scores.c.as_of, scores.c.scored_at
    )
    for id_ in ids:
        row = connection.execute(query.where(scores.c.id == id_)).one()
        coarse = {
            "lead": None,
            "lead_id": "",
            "raw": round(row.raw, _COARSE),
            "probability": _rounded(row.probability),
            "as_of": row.as_of - row.as_of % DAY,
            "scored_at": row.scored_at - row.scored_at % DAY,
            "inputs": "{}",
            "inputs_hash": "",
            "reasons": "[]",
            "warnings": "[]",
            "request_id": None,
        }
        connection.execute(update(scores).where(scores.c.id == id_).values(coarse))
    return len(ids)


def _rounded(probability: float) -> float:
    """Coarse, and still neither 0 nor 1."""
    step = 10.0**-_COARSE
    return min(max(round(probability, _COARSE), step), 1 - step)


def forget_in_files(rejects: Path, lead_id: str) -> int:
    """Take the lead's rows out of the files of rejected rows; how many rows.

    A file that cannot be read goes as a whole.

    Raises:
        StoreError: a file cannot be read or written anew.
    """
    if not rejects.exists():
        return 0
    try:
        with directory(rejects) as place:
            names = sorted(path.name for path in rejects.glob("*.rejects.csv"))
            return sum(_without(place, name, lead_id) for name in names)
    except OSError as error:
        raise StoreError(
            f"rejected rows of the lead may still be in {rejects}: {error.strerror or error}",
            hint="The database has forgotten it. Allow writing there, and erase the lead again.",
        ) from error


def _without(place: int, name: str, lead_id: str) -> int:
    # Some ids stand there as a spreadsheet must not run them.
    names = {lead_id, guarded(lead_id)}
    try:
        with os.fdopen(open_here(name, place), encoding="utf-8-sig", newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (csv.Error, UnicodeDecodeError):
        # Nobody can tell whether the person is in it, and nothing but a correction needs it.
        with os.fdopen(open_here(name, place), "rb") as file:
            lines = file.read().count(b"\n")
        os.unlink(name, dir_fd=place)
        return max(1, lines - 1)
    kept = [row for row in rows if names.isdisjoint(cell.strip() for cell in row)]
    if len(kept) == len(rows):
        return 0
    beside = f"{name.removesuffix('.csv')}.new"
    with suppress(FileNotFoundError):
        os.unlink(beside, dir_fd=place)
    with os.fdopen(open_private(beside, place), "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([header, *kept])
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, name, src_dir_fd=place, dst_dir_fd=place)
    return len(rows) - len(kept)


def flush(store: Store) -> None:
    """Let no older copy of what was deleted lie in SQLite's log; harmless on PostgreSQL.

    While somebody reads, the log stays until the next time.
    """
    if store.is_sqlite:
        _outside_transactions(store, "PRAGMA wal_checkpoint(TRUNCATE)")


def compact(store: Store) -> None:
    """Write an SQLite file anew: not one deleted byte is left in it. Nobody can write meanwhile.

    Raises:
        StoreError: somebody else was writing all the time; what was erased is erased.
    """
    if store.is_sqlite:
        _outside_transactions(store, "VACUUM")
        flush(store)


def _outside_transactions(store: Store, statement: str) -> None:
    with store.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        connection.rollback()
        try:
            raw.execute(statement)
        except sqlite3.Error as error:
            raise StoreError(
                f"it is erased, but the file could not be written anew: {error}",
                hint="Run it again when nobody writes; what was deleted is overwritten already.",
            ) from error
