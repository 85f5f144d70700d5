"""Which logged scores are looked at again, and are all there? What an audit reads of the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, exists, func, select, text

from features.store.exposure import shown
from features.store.ledger import numbers, read_score, scores
from features.store.tables import leads

_STEP, _RING = 48_271, 1_000_003
"""Of a lattice over the ids: neighbours, which one request brought, fall far apart."""


@dataclass(frozen=True, slots=True)
class Ids:
    """What the ids of the ledger tell.

    Attributes:
        scores: how many are there.
        extra: how many have an id that was never given out.
        unwritten: how many ids were given out and are not there: never written, or pruned since.
    """

    scores: int
    extra: int
    unwritten: int


def count_ids(connection: Connection) -> Ids:
    """Hold the ids that are there against those that were given out."""
    total = int(connection.execute(select(func.count()).select_from(scores)).scalar_one())
    following = _following(connection)
    beyond = select(func.count()).select_from(scores).where(scores.c.id >= following)
    extra = int(connection.execute(beyond).scalar_one())
    return Ids(total, extra, max(following - 1 - (total - extra), 0))


def sample_scores(
    connection: Connection, before: int, n: int, seed: int
) -> Iterator[dict[str, Any]]:
    """About n scores that were given before an instant, decoded, each as likely as any other.

    Args:
        connection: an open connection.
        before: the instant.
        n: how many at most.
        seed: which ones.
    """
    given = scores.c.scored_at < before
    total = int(connection.execute(select(func.count()).where(given)).scalar_one())
    chosen = select(scores.c.id).where(given).order_by(scores.c.id)
    if total > n:
        lot = (scores.c.id * _STEP + seed * 7_919) % _RING
        chosen = chosen.where(lot < n * _RING // total)
    for id_ in connection.execute(chosen.limit(n)).scalars().all():
        found = read_score(connection, id_)
        if found is not None:
            yield found


def shown_without_score(connection: Connection) -> int:
    """How many scores were shown to somebody and are not in the ledger."""
    there = exists().where(scores.c.id == shown.c.score)
    query = select(func.count(func.distinct(shown.c.score))).where(~there)
    return int(connection.execute(query).scalar_one())


def _following(connection: Connection) -> int:
    """The id that is given out next."""
    if connection.dialect.name == "postgresql":
        row = connection.execute(text("SELECT last_value, is_called FROM scores_id_seq")).one()
        return int(row[0]) + int(bool(row[1]))
    return int(connection.execute(select(numbers.c.next)).scalar_one())


def first_scores(connection: Connection, since: int, until: int) -> tuple[list[str], list[int]]:
    """Each stored lead's first score for the queue in `[since, until)`: external ids and as-ofs."""
    query = select(leads.c.external_id, func.min(scores.c.as_of).label("as_of"))
    query = query.select_from(scores.join(leads, leads.c.id == scores.c.lead))
    query = query.where(
        scores.c.channel == "queue", scores.c.as_of >= since, scores.c.as_of < until
    )
    rows = connection.execute(query.group_by(leads.c.external_id).order_by(leads.c.external_id))
    found = [(str(row.external_id), int(row.as_of)) for row in rows]
    return [lead for lead, _ in found], [as_of for _, as_of in found]
