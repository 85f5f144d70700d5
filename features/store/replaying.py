"""What was recorded between two instants, written into another store as it was written then?

A rehearsal's store is filled this way, period by period: what was recorded later is not hidden from
it, it is not there. Facts, deals and merges go through the same doors as any import (`record_facts`,
`record_deals`, `record_merged`); the stage changes that deals make are not copied, they are made again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, Row, Table, select

from features.definition import Definition
from features.facts import Answer, Event, LeadVersion, Record, StageChange
from features.store.engine import Store
from features.store.ingest import lead_keys
from features.store.merges import merges_told, named_in
from features.store.outcomes import Deal, deals
from features.store.placing import follow_versions
from features.store.recording import record_deals, record_facts, record_merged
from features.store.tables import answers, events, lead_versions, leads, stages

_CHUNK = 10_000


def copy_recorded(
    source: Store, target: Store, definition: Definition, *, since: int, until: int
) -> int:
    """Write into `target` what `source` recorded in `[since, until)`: how many facts, deals and merges.

    Leads that must not be scored are left out. Doing it again changes nothing.

    Args:
        source: a store with a history; nothing is written to it.
        target: where it goes.
        definition: what is allowed.
        since: the first instant.
        until: the present of the target: it is told nothing that was recorded then or later.
    """
    copied = 0
    with source.read() as reader:
        for table, make in _FACTS:
            for records in _portions(reader, table, make, since, until):
                with target.write() as writer:
                    record_facts(writer, records, definition, until)
                    versions = {r.lead for r in records if isinstance(r, LeadVersion)}
                    follow_versions(writer, versions)
                copied += len(records)
        for closed in _portions(reader, deals, _deal, since, until):
            with target.write() as writer:
                record_deals(writer, closed, definition, until)
            copied += len(closed)
        told = merges_told(reader, until)
    with target.write() as writer:
        there = lead_keys(writer, {name for one in told for name in named_in(one)})
        # Also one recorded earlier: of a lead that has only now come.
        known = [one for one in told if all(name in there for name in named_in(one))]
        if known:
            copied += record_merged(writer, known, definition, until).added
    return copied


def first_recorded(source: Store) -> int | None:
    """When the first lead was recorded; None in an empty store."""
    with source.read() as reader:
        query = select(lead_versions.c.recorded_at).order_by(lead_versions.c.recorded_at)
        row = reader.execute(query.limit(1)).first()
    return None if row is None else int(row.recorded_at)


def _portions(
    reader: Connection, table: Table, make: Callable[[Row[Any]], Any], since: int, until: int
) -> Iterator[list[Any]]:
    query = select(table, leads.c.external_id.label("of")).join(leads, leads.c.id == table.c.lead)
    query = query.where(
        table.c.recorded_at >= since, table.c.recorded_at < until, ~leads.c.do_not_score
    )
    if table is stages:
        query = query.where(~stages.c.external_id.like("deal:%"))
    rows = reader.execute(query.order_by(table.c.recorded_at, table.c.id))
    for part in rows.partitions(_CHUNK):
        yield [make(row) for row in part]


def _when(row: Row[Any]) -> dict[str, Any]:
    return {
        "lead": row.of,
        "occurred_at": row.occurred_at,
        "recorded_at": row.recorded_at,
        "source": row.source,
        "external_id": row.external_id,
    }


def _version(row: Row[Any]) -> Record:
    said = json.loads(row.attributes)
    return LeadVersion(**_when(row), attributes=said, kind=row.kind, owner=row.owner, name=row.name)


def _deal(row: Row[Any]) -> Deal:
    return Deal(**_when(row), ending=row.ending, amount=row.amount, reason=row.reason)


_FACTS: tuple[tuple[Table, Callable[[Row[Any]], Record]], ...] = (
    (lead_versions, _version),
    (answers, lambda row: Answer(**_when(row), question=row.question, answer=row.answer)),
    (events, lambda row: Event(**_when(row), kind=row.kind, channel=row.channel)),
    (stages, lambda row: StageChange(**_when(row), stage=row.stage)),
)
