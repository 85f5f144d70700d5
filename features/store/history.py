"""What did we know, and about whom? Facts as columns, as recorded before an instant.

Only facts recorded before the instant are read; feature code then looks, for each query, only at what
was known before its own as-of. Nothing here can see a deal. Engagement is the big table: leads are
read in portions, never the whole history at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, Select, Table, func, select

from features.clock import before as is_before
from features.definition import Definition
from features.facts import Facts, LeadVersion, Queries
from features.gather import FactsBuilder
from features.lifecycle import is_open
from features.store.ingest import chunks, lead_keys, of_leads
from features.store.merges import Merged, known_merges, names_of
from features.store.tables import answers, events, lead_versions, leads, stages

PORTION = 10_000
"""Leads read at once; with 20 events each about 100 MB."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A lead as the store knows it: how it is called, whose it is, and whether it may be scored."""

    lead: str
    name: str | None
    owner: str | None
    kind: str
    do_not_score: bool


def load_facts(
    connection: Connection, definition: Definition, lead_ids: Sequence[str], before: int
) -> Facts:
    """All facts of these leads recorded before `before`; `Facts.lead_ids` is `lead_ids`.

    Leads that are not in the store are there without facts. Each lead is named once.
    """
    index = {lead: i for i, lead in enumerate(lead_ids)}
    assert len(index) == len(lead_ids), "a lead named twice would have its facts only once"
    position = {key: index[lead] for lead, key in lead_keys(connection, lead_ids).items()}
    return _facts(connection, definition, lead_ids, position, before)


def iter_facts(
    connection: Connection, definition: Definition, before: int, *, portion: int = PORTION
) -> Iterator[Facts]:
    """Facts of all leads that may be scored, in portions of leads, in the order they came in."""
    low = -1
    while True:
        query = select(leads.c.id, leads.c.external_id).where(
            leads.c.id > low, ~leads.c.do_not_score
        )
        rows = connection.execute(query.order_by(leads.c.id).limit(portion)).all()
        if not rows:
            return
        low = rows[-1].id
        position = {row.id: i for i, row in enumerate(rows)}
        names = [row.external_id for row in rows]
        yield _facts(connection, definition, names, position, before)


def iter_open(
    connection: Connection, definition: Definition, as_of: int, *, portion: int = PORTION
) -> Iterator[tuple[Facts, Queries]]:
    """The leads that are open at `as_of`: their facts and the query to ask, in portions of leads."""
    for facts in iter_facts(connection, definition, as_of, portion=portion):
        everyone = Queries.at(np.arange(len(facts.lead_ids)), as_of)
        chosen = np.flatnonzero(is_open(facts, everyone, definition))
        if len(chosen):
            yield facts, Queries.at(chosen, as_of)


def count_leads(connection: Connection) -> int:
    """How many leads may be scored."""
    query = select(func.count()).select_from(leads).where(~leads.c.do_not_score)
    return int(connection.execute(query).scalar_one())


def newest_fact(connection: Connection) -> int | None:
    """When the last fact was recorded; None in an empty store."""
    newest = newest_facts(connection).values()
    return max((instant for instant in newest if instant is not None), default=None)


def newest_facts(connection: Connection, before: int | None = None) -> dict[str, int | None]:
    """Sort of fact -> when the last one was recorded, None without any; by default of all times."""
    found: dict[str, int | None] = {}
    for sort, table in _TABLES.items():
        query = select(func.max(table.c.recorded_at))
        if before is not None:
            query = query.where(table.c.recorded_at < before)
        newest = connection.execute(query).scalar()
        found[sort] = None if newest is None else int(newest)
    return found


def some_leads(connection: Connection, most: int, seed: int) -> list[str]:
    """The external ids of about so many leads that may be scored, evenly over the order they came in."""
    step = max(1, count_leads(connection) // max(most, 1))
    query = select(leads.c.external_id).where(
        ~leads.c.do_not_score, leads.c.id % step == seed % step
    )
    return [str(row.external_id) for row in connection.execute(query.order_by(leads.c.id))]


def profiles(connection: Connection, lead_ids: Sequence[str]) -> dict[str, Profile]:
    """The leads as last described, by external id; leads that are not there are left out."""
    found: dict[str, Profile] = {}
    columns = (leads.c.external_id, leads.c.do_not_score, *_VERSION)
    joined = leads.join(lead_versions, lead_versions.c.lead == leads.c.id, isouter=True)
    for chunk in chunks(sorted(lead_keys(connection, lead_ids).values())):
        query = select(*columns).select_from(joined).where(leads.c.id.in_(chunk))
        for row in connection.execute(query.order_by(*_OLDEST_FIRST)):
            found[row.external_id] = Profile(
                row.external_id, row.name, row.owner, row.kind or "prospect", row.do_not_score
            )
    return found


def latest_version(connection: Connection, lead_id: str) -> LeadVersion | None:
    """The lead as last described; None when there is no such lead."""
    key = lead_keys(connection, [lead_id]).get(lead_id)
    query = select(lead_versions).where(lead_versions.c.lead == key)
    query = query.order_by(*(column.desc() for column in _OLDEST_FIRST)).limit(1)
    row = connection.execute(query).first()
    if row is None:
        return None
    return LeadVersion(
        lead=lead_id,
        occurred_at=row.occurred_at,
        recorded_at=row.recorded_at,
        attributes=json.loads(row.attributes),
        kind=row.kind,
        owner=row.owner,
        name=row.name,
        source=row.source,
        external_id=row.external_id,
    )


def timeline(connection: Connection, lead_id: str, before: int) -> list[dict[str, Any]]:
    """What happened to a lead, newest first: one mapping a fact, with `sort` and its own columns.

    What leads did and answered that have become part of it is its own, from when that is known: such
    a fact names in `of` the lead that it was told of; `of` of the lead's own is None.
    """
    found: list[dict[str, Any]] = []
    key = lead_keys(connection, [lead_id]).get(lead_id)
    for sort, table in _TABLES.items():
        known = (table.c.occurred_at < before, table.c.recorded_at < before)
        query = select(table).where(table.c.lead == key, *known)
        found += [{"sort": sort, "of": None, **row._mapping} for row in connection.execute(query)]
    if key is not None:
        found += _of_parts(connection, key, before)
    return sorted(found, key=_newest_last, reverse=True)


def _of_parts(connection: Connection, key: int, before: int) -> list[dict[str, Any]]:
    """The facts of leads that have become part of this one, as known of it."""
    parts = known_merges(connection, before).parts([key])
    named, found = names_of(connection, parts), []
    for sort in ("answer", "event"):
        table = _TABLES[sort]
        known = (table.c.occurred_at < before, table.c.recorded_at < before)
        for chunk in chunks(sorted(parts)):
            for row in connection.execute(select(table).where(table.c.lead.in_(chunk), *known)):
                since = max(row.recorded_at, parts[row.lead][0][1])
                of = {"sort": sort, "of": named[row.lead]}
                found.append({**row._mapping, **of, "recorded_at": since})
    return found


def _newest_last(fact: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(fact[name] for name in ("occurred_at", "recorded_at", "sort", "content", "id"))


_VERSION = (lead_versions.c.name, lead_versions.c.owner, lead_versions.c.kind)
_OLDEST_FIRST = tuple(
    lead_versions.c[name] for name in ("occurred_at", "recorded_at", "content", "id")
)
_TABLES: Mapping[str, Table] = {
    "version": lead_versions,
    "answer": answers,
    "event": events,
    "stage": stages,
}


def _facts(
    connection: Connection,
    definition: Definition,
    lead_ids: Sequence[str],
    position: Mapping[int, int],
    before: int,
) -> Facts:
    """Facts of the leads whose keys are in `position`.

    What happened to a lead that has become part of another, and what it answered, is that one's too,
    from when that is known; what is recorded of it afterwards is no longer its own, and it is closed.
    How a lead stands and which stage it is in is said of the survivor alone.
    """
    builder = FactsBuilder(definition, lead_ids)
    merged = known_merges(connection, before)

    def rows(table: Table, *columns: str) -> Iterator[tuple[int, int, Row[Any]]]:
        wanted = [table.c[name] for name in ("lead", "occurred_at", "recorded_at", *columns)]
        query = select(*wanted).where(table.c.recorded_at < before)
        return _of_one(connection, query, table, position, merged)

    for lead, recorded_at, row in rows(lead_versions, "kind", "attributes"):
        attributes = json.loads(row.attributes)
        builder.version(lead, row.occurred_at, recorded_at, row.kind, attributes)
    for lead, recorded_at, row in rows(answers, "question", "answer"):
        builder.answer(lead, row.occurred_at, recorded_at, row.question, row.answer)
    for lead, recorded_at, row in rows(events, "kind", "channel"):
        builder.event(lead, row.occurred_at, recorded_at, row.kind, row.channel)
    for lead, recorded_at, row in rows(stages, "stage"):
        builder.stage(lead, row.occurred_at, recorded_at, row.stage)
    for key in merged.into.keys() & position.keys():
        end = merged.into[key][1]
        builder.stage(position[key], end, end, "lost")
    return builder.build()


def _of_one(
    connection: Connection,
    query: Select[Any],
    table: Table,
    position: Mapping[int, int],
    merged: Merged,
) -> Iterator[tuple[int, int, Row[Any]]]:
    """Rows of a table, each with whose it is and since when it is known of them."""
    parts = {} if table in (lead_versions, stages) else merged.parts(position)
    for condition in of_leads(table, position.keys() | parts.keys()):
        for row in connection.execute(query.where(condition)):
            lead, end = position.get(row.lead), merged.ended(row.lead)
            if lead is not None and (end is None or is_before(row.recorded_at, end)):
                yield lead, row.recorded_at, row
            for survivor, since in parts.get(row.lead, ()):
                yield position[survivor], max(row.recorded_at, since), row
