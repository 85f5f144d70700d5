"""How do facts get in? Idempotently, good rows kept and bad rows named, inside one transaction.

The caller opens the transaction (`Store.write`), so a batch is in the store as a whole or not at
all. A fact without an external id is known by its content: sent twice, it is there once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    String,
    Table,
    bindparam,
    cast,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from features.definition import Definition
from features.errors import NotFoundError, Problem, shown
from features.facts import Answer, Event, LeadVersion, Record, StageChange, said
from features.quality import record_problems, text_problem
from features.store.consent import ERASED, alone, erased, in_step
from features.store.prepared import Prepared
from features.store.tables import answers, events, lead_versions, leads, stages

NO_SUCH_LEAD = "no such lead; send the lead first"

_CHUNK = 5_000
"""Rows a statement may name at once: SQLite allows 32,766 parameters, three a row are used."""

Row = dict[str, Any]
_Key = tuple[str, str]
T = TypeVar("T")
_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode


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
    in_step(connection)
    keys = lead_keys(connection, {record.lead for _, record in good})
    strangers = {record.lead for _, record in good} - keys.keys()
    gone = erased(connection, strangers)
    described = {record.lead for _, record in good if isinstance(record, LeadVersion)}
    keys |= _added_leads(connection, strangers & described - gone)
    for i, record in good:
        if record.lead not in keys:
            problems[i] = [_unknown_lead(record, i, record.lead in gone)]
    added = unchanged = 0
    for sort, table in _TABLES.items():
        chosen = [(i, r) for i, r in good if isinstance(r, sort) and i not in problems]
        fresh, known, differing = _write(connection, table, [_row(r, keys) for _, r in chosen])
        added, unchanged = added + fresh, unchanged + known
        for position, external_id in differing.items():
            i, _ = chosen[position]
            problems[i] = [_differs(i, external_id)]
    return IngestReport(added, unchanged, problems)


def set_do_not_score(connection: Connection, lead_id: str, objected: bool) -> None:
    """Note that the person objects to being scored, or no longer does; it holds at once.

    Scores that are being written are waited for; none is written after it.

    Raises:
        NotFoundError: there is no such lead.
    """
    alone(connection)
    key = lead_keys(connection, [lead_id]).get(lead_id)
    if key is None:
        raise NotFoundError("there is no such lead", hint="Send it first with PUT /v1/leads/{id}.")
    connection.execute(leads.update().where(leads.c.id == key).values(do_not_score=objected))


def lead_keys(connection: Connection, external_ids: Collection[str]) -> dict[str, int]:
    """Our keys of these leads, by external id; leads that are not there are left out.

    So are ids that no lead can have, whatever sends them: a NUL would be an error of the database.
    """
    possible = {lead for lead in external_ids if not text_problem(lead)}
    if not possible:
        return {}
    if connection.dialect.name == "postgresql":
        found = _KEYS_POSTGRESQL.run(connection, texts=list(possible))
    else:
        found = _KEYS_SQLITE.run(connection, texts=_as_text(possible))
    return dict(found)


def of_leads(table: Table, keys: Collection[int]) -> Iterator[ColumnElement[bool]]:
    """Conditions that together find the rows of these leads, and perhaps some of others.

    Leads that lie close together are a range; else they are named, a part at a time.
    """
    ordered = sorted(keys)
    if ordered and ordered[-1] - ordered[0] < 2 * len(ordered):
        yield table.c.lead.between(ordered[0], ordered[-1])
    else:
        for chunk in chunks(ordered):
            yield table.c.lead.in_(chunk)


def among(
    connection: Connection, column: Column[str], texts: Collection[str]
) -> ColumnElement[bool]:
    """Whether a column holds one of these texts, which go to the database as a single parameter.

    Ten thousand parameters cost more to name than to look up: an import took half as long again.
    """
    if connection.dialect.name == "postgresql":
        return _among_array(column, list(texts))
    return _among_json(column, _as_text(texts))


def _among_array(column: Column[str], texts: Any) -> ColumnElement[bool]:
    return column == func.any(cast(texts, postgresql.ARRAY(String)))


def _among_json(column: Column[str], texts: Any) -> ColumnElement[bool]:
    each = func.json_each(texts).table_valued("value")
    return column.in_(select(each.c.value))


def _as_text(texts: Collection[str]) -> str:
    return json.dumps(list(texts), ensure_ascii=False)


# Asked for every score, so made once: to put the question together costs more than the answer.
_KEYS = select(leads.c.external_id, leads.c.id)
_KEYS_SQLITE = Prepared(
    _KEYS.where(_among_json(leads.c.external_id, bindparam("texts", type_=String)))
)
_KEYS_POSTGRESQL = Prepared(
    _KEYS.where(
        _among_array(leads.c.external_id, bindparam("texts", type_=postgresql.ARRAY(String)))
    )
)


def content_key(*parts: object) -> str:
    """A short digest of what a fact says, equal for equal facts: 24 hex digits of BLAKE2."""
    return hashlib.blake2b(_canonical(parts).encode(), digest_size=12).hexdigest()


def insert_ignoring(connection: Connection, table: Table, rows: Sequence[Row]) -> int:
    """Insert rows; those another writer has just inserted are left as they are.

    Returns:
        How many rows were inserted.
    """
    if not rows:
        return 0
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table).on_conflict_do_nothing()
    statement = statement.execution_options(preserve_rowcount=True)
    return connection.execute(statement, list(rows)).rowcount


def _added_leads(connection: Connection, external_ids: Collection[str]) -> dict[str, int]:
    """Our keys of leads that were not there, by external id."""
    insert_ignoring(connection, leads, [{"external_id": lead} for lead in sorted(external_ids)])
    return lead_keys(connection, external_ids)


def _write(
    connection: Connection, table: Table, rows: Sequence[Row]
) -> tuple[int, int, dict[int, str]]:
    """Rows added, rows known, and position -> external id of those known with other content."""
    given = [(row["source"], row["external_id"]) for row in rows]
    there = _contents(connection, table, given)
    fresh: dict[_Key, Row] = {}
    for key, row in zip(given, rows, strict=True):
        if key not in there:
            fresh.setdefault(key, row)
    # In one order whoever writes, or two writers of the same facts would wait for each other.
    added = insert_ignoring(connection, table, [fresh[key] for key in sorted(fresh)])
    there |= {key: row["content"] for key, row in fresh.items()}
    if added < len(fresh):  # another writer was faster
        there |= _contents(connection, table, list(fresh))
    differing = {
        position: key[1]
        for position, (key, row) in enumerate(zip(given, rows, strict=True))
        if there[key] != row["content"]
    }
    return added, len(rows) - added - len(differing), differing


def _contents(connection: Connection, table: Table, keys: Collection[_Key]) -> dict[_Key, str]:
    """What the facts that are there already say, by source and external id."""
    found: dict[_Key, str] = {}
    for source, ids in _by_source(keys).items():
        query = select(table.c.external_id, table.c.content).where(
            table.c.source == source, among(connection, table.c.external_id, ids)
        )
        found |= {(source, row[0]): row[1] for row in connection.execute(query)}
    return found


def _by_source(keys: Iterable[_Key]) -> dict[str, set[str]]:
    sorted_out: dict[str, set[str]] = {}
    for source, external_id in keys:
        sorted_out.setdefault(source, set()).add(external_id)
    return sorted_out


def _unknown_lead(record: Record, i: int, was_erased: bool) -> Problem:
    message = ERASED if was_erased else NO_SUCH_LEAD
    return Problem(f"row {i + 1}", "lead", shown(record.lead), message)


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


def chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items in parts, none longer than one statement may name."""
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]
