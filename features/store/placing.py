"""Whose queue is a lead in? The queue shows a lead as it was last described, from that moment on.

A score is renewed later; owner, name and kind of a lead are not its score, and follow at once, so that
who no longer owns a lead no longer sees it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from features.store.history import profiles
from features.store.ingest import chunks, lead_keys
from features.store.ledger import current


def follow_versions(connection: Connection, lead_ids: Collection[str]) -> int:
    """Bring the queue in line with how these leads are described now; how many places changed.

    Args:
        connection: from `Store.write`, in the transaction that wrote the versions.
        lead_ids: leads of which versions were written.
    """
    keys = lead_keys(connection, lead_ids)
    shown: dict[int, Row[Any]] = {}
    for chunk in chunks(sorted(keys.values())):
        query = select(current.c.lead, current.c.owner, current.c.name, current.c.kind)
        shown |= {
            row.lead: row for row in connection.execute(query.where(current.c.lead.in_(chunk)))
        }
    placed = [lead for lead, key in keys.items() if key in shown]
    if not placed:
        return 0
    changed = []
    for lead, now in profiles(connection, placed).items():
        row = shown[keys[lead]]
        if (row.owner, row.name, row.kind) != (now.owner, now.name, now.kind):
            changed.append(
                {"key": row.lead, "owner": now.owner, "name": now.name, "kind": now.kind}
            )
    if changed:
        statement = update(current).where(current.c.lead == bindparam("key"))
        connection.execute(statement, changed)
    return len(changed)
