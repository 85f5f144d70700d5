"""Who stands in an owner's list, in which order by score? All of it, for whoever draws lots on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from features.store.consent import lead_hashes
from features.store.ingest import chunks
from features.store.ledger import NEWEST_TOUCH, QUEUE_COLUMNS, current, decoded, scores
from features.store.tables import leads


def whole_list(connection: Connection, owner: str | None) -> list[tuple[int, str]]:
    """Our key and the external id of every open lead of an owner, or of all, highest score first."""
    query = select(current.c.lead, leads.c.external_id)
    query = query.select_from(current.join(leads, leads.c.id == current.c.lead))
    query = query.where(current.c.is_open == 1, ~leads.c.do_not_score)
    if owner is not None:
        query = query.where(current.c.owner == owner)
    ordered = query.order_by(current.c.raw.desc(), *NEWEST_TOUCH, leads.c.external_id)
    return [(row.lead, row.external_id) for row in connection.execute(ordered)]


def queue_rows(connection: Connection, keys: Sequence[int]) -> list[Mapping[str, Any]]:
    """What the queue shows of these leads, in this order; leads that have left it are left out."""
    joined = current.join(leads, leads.c.id == current.c.lead)
    joined = joined.join(scores, scores.c.id == current.c.score)
    columns = (current.c.lead.label("key"), leads.c.external_id.label("lead_id"), *QUEUE_COLUMNS)
    query = select(*columns).select_from(joined)
    found = {
        row["key"]: row
        for chunk in chunks(keys)
        for row in decoded(connection, query.where(current.c.lead.in_(chunk)))
    }
    return [found[key] for key in keys if key in found]


def lots(connection: Connection, texts: Sequence[str]) -> list[float]:
    """A number in [0, 1) for each text, that nobody can tell who has not this database's key."""
    return [int(found[:13], 16) / 2**52 for found in lead_hashes(connection, texts)]
