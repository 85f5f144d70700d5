"""How far has each source been read, and which deals wait for their lead? Kept with what was written.

A watermark moves in the transaction that writes the rows before it, so that a pull that is killed has
neither lost nor skipped any. A deal whose lead is not there yet waits; each pull tries it again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Column, Connection, Index, String, Table, Text, and_, or_, select

from features.store.closings import Deal
from features.store.ingest import insert_ignoring
from features.store.tables import Instant, metadata

pulls = Table(
    "outcome_pulls",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("watermark", Instant),
    Column("began", Instant),
    Column("page", Text),
    Column("finished_at", Instant),
)

waiting = Table(
    "outcomes_waiting",
    metadata,
    Column("source", String(64), primary_key=True),
    Column("external_id", String(300), primary_key=True),
    Column("lead_id", String(300), nullable=False),
    Column("deal", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Index("ix_outcomes_waiting_lead_id", "lead_id"),
)


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far a source has been read.

    Attributes:
        through: all that changed before this instant is here; None: nothing was read to the end yet.
        began: when the pull that is under way began; with `page`, where it stopped. None: none is.
        page: where the unfinished pull is to go on.
        finished_at: when the last pull came to its end.
    """

    through: int | None = None
    began: int | None = None
    page: str | None = None
    finished_at: int | None = None


def watermark(connection: Connection, source: str) -> Watermark:
    """How far a source has been read."""
    row = connection.execute(select(pulls).where(pulls.c.source == source)).first()
    if row is None:
        return Watermark()
    return Watermark(row.watermark, row.began, row.page, row.finished_at)


def set_watermark(connection: Connection, source: str, mark: Watermark) -> None:
    """Note how far a source has been read, in the transaction of what was read."""
    row = {
        "watermark": mark.through,
        "began": mark.began,
        "page": mark.page,
        "finished_at": mark.finished_at,
    }
    insert_ignoring(connection, pulls, [{"source": source, **row}])
    connection.execute(pulls.update().where(pulls.c.source == source).values(**row))


def keep_waiting(connection: Connection, deals: Sequence[Deal], now: int) -> None:
    """Let deals wait for their leads; of one that waits already, what is said now counts."""
    stop_waiting(connection, deals)
    rows = {
        (deal.source, str(deal.external_id)): {
            "source": deal.source,
            "external_id": deal.external_id,
            "lead_id": deal.lead,
            "deal": json.dumps(asdict(deal)),
            "since": now,
        }
        for deal in deals
    }
    insert_ignoring(connection, waiting, list(rows.values()))


def who_waits(connection: Connection, source: str) -> list[Deal]:
    """The deals of a source that wait for their leads."""
    query = select(waiting.c.deal).where(waiting.c.source == source)
    rows = connection.execute(query.order_by(waiting.c.external_id))
    return [Deal(**json.loads(row.deal)) for row in rows]


def stop_waiting(connection: Connection, deals: Sequence[Deal]) -> None:
    """Forget that these deals wait."""
    for start in range(0, len(deals), 500):
        named = [
            and_(waiting.c.source == deal.source, waiting.c.external_id == deal.external_id)
            for deal in deals[start : start + 500]
        ]
        connection.execute(waiting.delete().where(or_(*named)))
