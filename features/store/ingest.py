"""How do facts get in? Idempotently, good rows kept and bad rows named, inside one transaction.

The caller opens the transaction (`Store.write`), so a batch is in the store as a whole or not at
all. A fact without an external id is known by its content: sent twice, it is there once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from features.definition import Definition
from features.errors import Problem, shown
from features.facts import Answer, Event, LeadVersion, Record, StageChange, said
from features.quality import record_problems
from features.store.tables import answers, events, lead_versions, leads, stages

_CHUNK = 5_000
"""Rows a statement may name at once: SQLite allows 32,766 parameters, three a row are used."""

Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What a batch did: rows added, rows that were there already, problems by position."""

    added: int = 0
    unchanged: int = 0
    problems: Mapping[int, list[Problem]] = field(default_factory=dict)


def ingest(
    connection: Connection, records: Sequence[Record], definition: Definition, now: int
) -> IngestReport:
    """Write facts; a fact with a problem is left out and reported, the others are written.

    Args:
        connection: from `Store.write`.
        records: facts of any sorts; the lead versions among them are written first, so that a
            batch may bring a lead and what happened to it together.
        definition: what is allowed.
        now: the present instant; a fact from the future is a problem.
    """
    problems = {
        i: found
        for i, record in enumerate(records)
        if (found := record_problems(record, definition, now, where=f"row {i + 1}"))
    }
    good = [(i, record) for i, record in enumerate(records) if i not in problems]
    versions = [record for _, record in good if isinstance(record, LeadVersion)]
    _add_leads(connection, {version.lead for version in versions})
    keys = lead_keys(connection, {record.lead for _, record in good})
    for i, record in good:
        if record.lead not in keys:
            problems[i] = [_unknown_lead(record, i)]
    added = unchanged = 0
    for sort, table in _TABLES.items():
        chosen = [(i, r) for i, r in good if isinstance(r, sort) and i not in problems]
        fresh, known, differing = _write(connection, table, [_row(r, keys) for _, r in chosen])
        added, unchanged = added + fresh, unchanged + known
        for position, external_id in differing.items():
            i, _ = chosen[position]
            problems[i] = [_differs(i, external_id)]
    return IngestReport(added, unchanged, problems)


def lead_keys(connection: Connection, external_ids: Collection[str]) -> dict[str, int]:
    """Our keys of these leads, by external id; leads that are not there are left out."""
    found: dict[str, int] = {}
    for chunk in _chunks(sorted(external_ids)):
        query = select(leads.c.external_id, leads.c.id).where(leads.c.external_id.in_(chunk))
        found.update((row.external_id, row.id) for row in connection.execute(query))
    return found


def new_rows(
    connection: Connection, table: Table, rows: Sequence[Row], unique: Sequence[str]
) -> list[Row]:
    """The rows whose `unique` columns are in the table not yet, each once."""
    wanted = {tuple(row[column] for column in unique): row for row in rows}
    columns = [table.c[column] for column in unique]
    for chunk in _chunks(list(wanted)):
        for found in connection.execute(select(*columns).where(tuple_(*columns).in_(chunk))):
            wanted.pop(tuple(found), None)
    return list(wanted.values())


def content_key(*parts: object) -> str:
    """A short digest of what a fact says, equal for equal facts: 24 hex digits of BLAKE2."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def insert_ignoring(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; those another writer has just inserted are left as they are."""
    if rows:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), list(rows))


def _add_leads(connection: Connection, external_ids: Collection[str]) -> None:
    there = lead_keys(connection, external_ids)
    missing = [{"external_id": lead} for lead in sorted(external_ids) if lead not in there]
    insert_ignoring(connection, leads, missing)


def _write(
    connection: Connection, table: Table, rows: Sequence[Row]
) -> tuple[int, int, dict[int, str]]:
    """Rows added, rows known, and position -> external id of those known with other content."""
    there: dict[tuple[str, str], str] = {}
    keys = list({(row["source"], row["external_id"]): None for row in rows})
    columns = (table.c.source, table.c.external_id)
    for chunk in _chunks(keys):
        query = select(*columns, table.c.content).where(tuple_(*columns).in_(chunk))
        there.update(((r.source, r.external_id), r.content) for r in connection.execute(query))
    fresh: list[Row] = []
    differing: dict[int, str] = {}
    for position, row in enumerate(rows):
        key = (row["source"], row["external_id"])
        if key not in there:
            there[key] = row["content"]
            fresh.append(row)
        elif there[key] != row["content"]:
            differing[position] = row["external_id"]
    insert_ignoring(connection, table, fresh)
    return len(fresh), len(rows) - len(fresh) - len(differing), differing


def _unknown_lead(record: Record, i: int) -> Problem:
    return Problem(f"row {i + 1}", "lead", shown(record.lead), "no such lead; send the lead first")


def _differs(i: int, external_id: str) -> Problem:
    message = (
        "is there already with other content; facts are never overwritten, use a new external_id"
    )
    return Problem(f"row {i + 1}", "external_id", shown(external_id), message)


def _row(record: Record, keys: Mapping[str, int]) -> Row:
    words = said(record)
    content = content_key(record.lead, record.occurred_at, *words.values())
    return {
        "lead": keys[record.lead],
        "occurred_at": record.occurred_at,
        "recorded_at": record.recorded_at,
        **words,
        "source": record.source,
        "external_id": record.external_id or f"#{content}",
        "content": content,
    }


_TABLES: Mapping[type[Record], Table] = {
    LeadVersion: lead_versions,
    Answer: answers,
    Event: events,
    StageChange: stages,
}


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
