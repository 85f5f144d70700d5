"""What did the queue show at an instant?"""

from __future__ import annotations

from sqlalchemy import Connection, select

from features.store.ledger import scores


def shown_in_queue(connection: Connection, as_of: int) -> dict[str, float]:
    """The probability that the queue showed of each lead at the instant of a renewal, by lead."""
    query = select(scores.c.lead_id, scores.c.probability)
    query = query.where(scores.c.as_of == as_of, scores.c.channel == "queue")
    return {row.lead_id: float(row.probability) for row in connection.execute(query)}
